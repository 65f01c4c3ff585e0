"""DICOM files: parsed with suspicion, checked against themselves, decoded, and shown as a viewer would."""

import io
import warnings
import zlib
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset, read_partial
from pydicom.pixels.decoders.base import get_decoder
from pydicom.tag import BaseTag

from pleura.errors import PleuraError, TooLarge, UnreadableRadiograph
from pleura.radiograph.dicom_layout import JPEG_LS, NATIVE, PixelLayout, read_layout, require_sound_pixel_data
from pleura.radiograph.grayscale import to_display_grayscale
from pleura.radiograph.pixels import Radiograph, require_allowed_size

# Nothing else is read, so that nothing that names a patient is ever held.
_KEYWORDS: Final = """
    ViewPosition SamplesPerPixel PhotometricInterpretation PlanarConfiguration NumberOfFrames Rows Columns
    BitsAllocated BitsStored HighBit PixelRepresentation PixelPaddingValue PixelPaddingRangeLimit WindowCenter
    WindowWidth RescaleIntercept RescaleSlope VOILUTFunction ModalityLUTSequence VOILUTSequence
    PresentationLUTShape PixelData
"""
_TAGS: Final[list[BaseTag | int]] = [tag_for_keyword(keyword) or 0 for keyword in _KEYWORDS.split()]
_PIXEL_DATA: Final = 0x7FE00010
_MAX_ELEMENTS: Final = 20_000
_MAX_INFLATED_BYTES: Final = 128 * 2**20
_PREAMBLE_AND_PREFIX: Final = 132
_VIEW_POSITIONS: Final = frozenset({"PA", "AP", "LL", "RL", "LLD", "RLD", "LLO", "RLO"})


def read_dicom(file: bytes, max_pixels: int) -> Radiograph:
    """Decode a single-frame DICOM file as it would be displayed.

    Raises:
        UnreadableRadiograph: It is damaged, contradicts itself, or uses what we cannot decode.
        RefusedRadiograph: It has several frames, a colour palette, or no certain polarity.
        TooLarge: It announces more than ``max_pixels`` pixels, or inflates beyond all measure.
    """
    with warnings.catch_warnings():
        # pydicom's warnings quote values; a damaged file may hold any text anywhere.
        warnings.simplefilter("ignore")
        try:
            return _read(file, max_pixels)
        except (PleuraError, MemoryError):
            raise
        except Exception as error:  # whatever pydicom and its codecs raise on damaged bytes
            raise UnreadableRadiograph("the DICOM file is damaged") from error


def _read(file: bytes, max_pixels: int) -> Radiograph:
    dataset = _parsed(file)
    if "PixelData" not in dataset:
        raise UnreadableRadiograph("the DICOM file holds no pixel data")
    layout = read_layout(dataset)
    require_allowed_size(layout.rows, layout.columns, max_pixels)
    require_sound_pixel_data(dataset, layout)
    decoder = get_decoder(layout.syntax)
    pixels, _ = decoder.as_array(dataset, raw=layout.samples == 1, decoding_plugin=_plugin_for(layout.syntax))
    position = str(dataset.get("ViewPosition", ""))
    return Radiograph(
        pixels=_shown(pixels, dataset, layout),
        view_position=position if position in _VIEW_POSITIONS else None,
    )


def _plugin_for(syntax: uid.UID) -> str:
    if syntax in JPEG_LS:
        return "pyjpegls"  # it refuses damaged data, which pylibjpeg makes a picture of
    return "" if syntax in NATIVE else "pylibjpeg"


def _parsed(file: bytes) -> Dataset:
    """Read the few elements that we need, up to and with the pixel data."""
    count, seen = 0, set[int]()

    def is_enough(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        nonlocal count
        count += 1
        if count > _MAX_ELEMENTS:
            raise UnreadableRadiograph(f"the DICOM file has more than {_MAX_ELEMENTS} elements")
        if tag in seen:
            raise UnreadableRadiograph("an element of the DICOM file occurs twice")
        if tag in _TAGS:
            seen.add(tag)
        return int(tag) > _PIXEL_DATA

    meta, start = _file_meta(file)
    if meta.get("TransferSyntaxUID") == uid.DeflatedExplicitVRLittleEndian:
        inflated = io.BytesIO(_inflated(file[start:]))
        dataset = read_dataset(inflated, False, True, stop_when=is_enough, specific_tags=_TAGS)
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        return dataset
    return read_partial(io.BytesIO(file), stop_when=is_enough, force=True, specific_tags=_TAGS)


def _file_meta(file: bytes) -> tuple[Dataset, int]:
    """The file meta information (always explicit VR little endian), and where the data set begins."""
    if file[128:_PREAMBLE_AND_PREFIX] != b"DICM":
        return Dataset(), 0
    stream = io.BytesIO(file)
    stream.seek(_PREAMBLE_AND_PREFIX)
    meta = read_dataset(stream, False, True, stop_when=lambda tag, *_: bool(tag.group != 2))
    return meta, stream.tell()


def _inflated(deflated: bytes) -> bytes:
    """Inflate a deflated data set, but not a bomb."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = inflater.decompress(deflated, _MAX_INFLATED_BYTES)
    if inflater.unconsumed_tail:
        raise TooLarge("the deflated DICOM file is larger than can be accepted")
    if not inflater.eof:
        raise UnreadableRadiograph("the deflated DICOM file is cut short")
    return plain


def _shown(
    pixels: NDArray[Any], dataset: Dataset, layout: PixelLayout
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Bring decoded samples to greys as displayed."""
    if layout.samples == 3:
        return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)  # type: ignore[return-value]  # uint8 or uint16, as given
    if pixels.shape != (layout.rows, layout.columns):
        raise UnreadableRadiograph("the pixels of the DICOM file are not of the size that it announces")
    return to_display_grayscale(_stored_values(pixels, layout), dataset)


def _stored_values(pixels: NDArray[Any], layout: PixelLayout) -> NDArray[Any]:
    """Free stored values of what stands in the unused bits of their cells (old overlays, missing signs)."""
    cell = 8 * pixels.dtype.itemsize
    if layout.stored >= cell:
        return pixels
    low, high = (
        (-(2 ** (layout.stored - 1)), 2 ** (layout.stored - 1) - 1)
        if layout.is_signed
        else (0, 2**layout.stored - 1)
    )
    if layout.syntax not in NATIVE:
        # A lossy codec may step over the range that was stored.
        return pixels.clip(low, high)
    if layout.high_bit == layout.stored - 1 and low <= pixels.min() and pixels.max() <= high:
        return pixels
    raised: NDArray[Any] = np.left_shift(pixels, cell - 1 - layout.high_bit)
    return np.right_shift(raised, cell - layout.stored)  # type: ignore[no-any-return]  # of the same kind
