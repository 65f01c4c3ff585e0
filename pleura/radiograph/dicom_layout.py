"""Read from a DICOM header how the pixels are laid out, and refuse layouts that Pleura does not display."""

from collections.abc import Container
from dataclasses import dataclass
from typing import Final

from pydicom import uid
from pydicom.dataset import Dataset

from pleura.errors import RefusedRadiograph, UnreadableRadiograph

_GREY: Final = ("MONOCHROME1", "MONOCHROME2")
_COLOUR: Final = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "XYB")


@dataclass(frozen=True)
class PixelLayout:
    """The layout of the pixels, as the header announces it.

    Source:
        DICOM PS3.3 C.7.6.3 (image pixel module).
    """

    rows: int
    columns: int
    samples: int
    """Samples per pixel: 1 is grey, 3 is colour."""
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    photometric_interpretation: str
    transfer_syntax: uid.UID

    @property
    def stored_range(self) -> tuple[int, int]:
        """The lowest and the highest value that ``bits_stored`` bits can hold."""
        if self.is_signed:
            return -(2 ** (self.bits_stored - 1)), 2 ** (self.bits_stored - 1) - 1
        return 0, 2**self.bits_stored - 1


def read_layout(dataset: Dataset) -> PixelLayout:
    """Read the layout of the pixels from the header.

    Raises:
        RefusedRadiograph: The file has several frames or a colour palette.
        UnreadableRadiograph: An attribute is missing, or has a value that Pleura does not support.
    """
    frames = dataset.get("NumberOfFrames") or 1
    if frames != 1:
        raise RefusedRadiograph(
            "the DICOM file has several frames; send one radiograph", reason="several_frames"
        )
    photometric = str(dataset.PhotometricInterpretation)
    if photometric == "PALETTE COLOR":
        raise RefusedRadiograph(
            "the DICOM file has a colour palette; a radiograph has none", reason="not_a_radiograph"
        )
    if photometric not in _GREY + _COLOUR:
        raise UnreadableRadiograph("the photometric interpretation of the DICOM file is not supported")
    allocated = _read_integer(dataset, "BitsAllocated", (8, 16))
    stored = _read_integer(dataset, "BitsStored", range(1, allocated + 1))
    # the bits and the sign of a colour are not those of a grey value: C.7.6.3.1.2 allows only these
    is_grey = photometric in _GREY
    return PixelLayout(
        rows=_read_integer(dataset, "Rows", range(65_536)),
        columns=_read_integer(dataset, "Columns", range(65_536)),
        samples=_read_integer(dataset, "SamplesPerPixel", (1,) if is_grey else (3,)),
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=_read_integer(dataset, "HighBit", range(stored - 1, allocated if is_grey else stored)),
        is_signed=_read_integer(dataset, "PixelRepresentation", (0, 1) if is_grey else (0,)) == 1,
        photometric_interpretation=photometric,
        transfer_syntax=_read_transfer_syntax(dataset),
    )


def _read_integer(dataset: Dataset, keyword: str, allowed: Container[int]) -> int:
    value = dataset.get(keyword)
    if not isinstance(value, int) or value not in allowed:
        raise UnreadableRadiograph(f"{keyword} of the DICOM file is missing, or has an unsupported value")
    return int(value)


def _read_transfer_syntax(dataset: Dataset) -> uid.UID:
    """Read the transfer syntax; a file that names none has the encoding that pydicom found."""
    meta = getattr(dataset, "file_meta", Dataset())
    if named := meta.get("TransferSyntaxUID"):
        return uid.UID(named)
    is_implicit, is_little = dataset.original_encoding
    if not is_little:
        return uid.ExplicitVRBigEndian
    return uid.ImplicitVRLittleEndian if is_implicit else uid.ExplicitVRLittleEndian
