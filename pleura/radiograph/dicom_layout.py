"""What a DICOM header says of its pixels, compared with what the pixel data itself says."""

import contextlib
import struct
from collections.abc import Container
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from pydicom import uid
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from rle.rle import decode_frame

from pleura.errors import RefusedRadiograph, UnreadableRadiograph
from pleura.radiograph.codestream import (
    FrameHeader,
    has_end_marker,
    read_jpeg2000_frame,
    read_jpeg_frame,
    select_full_spectrum,
)
from pleura.radiograph.jpeg_damage import require_undamaged

_GREY: Final = ("MONOCHROME1", "MONOCHROME2")
_COLOUR: Final = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
NATIVE: Final = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian)
JPEG_LS: Final = (uid.JPEGLSLossless, uid.JPEGLSNearLossless)
_JPEG_FRAMES: Final = {
    uid.JPEGBaseline8Bit: (0xC0, 0xC1),
    uid.JPEGExtended12Bit: (0xC0, 0xC1),
    uid.JPEGLossless: (0xC3,),
    uid.JPEGLosslessSV1: (0xC3,),
    **dict.fromkeys(JPEG_LS, (0xF7,)),
}
_WRONG_SYNTAX: Final = "the pixel data of the DICOM file is not in the transfer syntax that it names"
_UNDEFINED_LENGTH: Final = 0xFFFFFFFF
_ITEM: Final = 0xE000FFFE
_ONE_SEGMENT: Final = struct.pack("<2I", 1, 64).ljust(64, b"\0")
_MOST_SPARE: Final = 4
_J2K: Final = (uid.JPEG2000Lossless, uid.JPEG2000)


@dataclass(frozen=True)
class PixelLayout:
    """What the header says of the pixels; checked against the pixel data before anything is allocated."""

    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    high_bit: int
    is_signed: bool
    photometric: str
    syntax: uid.UID


def read_layout(dataset: Dataset) -> PixelLayout:
    """Gather the header of the image, and refuse what we do not show."""
    frames = dataset.get("NumberOfFrames") or 1
    if frames != 1:
        raise RefusedRadiograph("the DICOM file has several frames; send one radiograph")
    photometric = str(dataset.PhotometricInterpretation)
    if photometric == "PALETTE COLOR":
        raise RefusedRadiograph("the DICOM file has a colour palette; no radiograph has")
    if photometric not in _GREY + _COLOUR:
        raise UnreadableRadiograph("the photometric interpretation of the DICOM file is not supported")
    allocated = _whole(dataset, "BitsAllocated", (8, 16))
    stored = _whole(dataset, "BitsStored", range(1, allocated + 1))
    meta = getattr(dataset, "file_meta", Dataset())
    return PixelLayout(
        rows=_whole(dataset, "Rows", range(65_536)),
        columns=_whole(dataset, "Columns", range(65_536)),
        samples=_whole(dataset, "SamplesPerPixel", (1,) if photometric in _GREY else (3,)),
        allocated=allocated,
        stored=stored,
        high_bit=_whole(dataset, "HighBit", range(stored - 1, allocated)),
        is_signed=_whole(dataset, "PixelRepresentation", (0, 1)) == 1,
        photometric=photometric,
        syntax=uid.UID(meta.get("TransferSyntaxUID") or _assumed_syntax(dataset)),
    )


def _assumed_syntax(dataset: Dataset) -> uid.UID:
    """The transfer syntax of a file that names none: how its elements were found to be encoded."""
    is_implicit, is_little = dataset.original_encoding
    if not is_little:
        return uid.ExplicitVRBigEndian
    return uid.ImplicitVRLittleEndian if is_implicit else uid.ExplicitVRLittleEndian


def _whole(dataset: Dataset, keyword: str, allowed: Container[int]) -> int:
    """One whole number of the header, of those that are allowed."""
    value = dataset.get(keyword)
    if not isinstance(value, int) or value not in allowed:
        raise UnreadableRadiograph(f"{keyword} of the DICOM file is missing, or not one that is supported")
    return int(value)


def require_sound_pixel_data(dataset: Dataset, layout: PixelLayout) -> None:
    """Compare what the header announces with what the pixel data itself says."""
    raw = dataset.get_item("PixelData")
    if isinstance(raw, RawDataElement) and raw.length not in (len(raw.value or b""), _UNDEFINED_LENGTH):
        raise UnreadableRadiograph("the pixel data of the DICOM file is cut short")
    is_encapsulated = dataset["PixelData"].is_undefined_length
    if layout.syntax in NATIVE and not is_encapsulated:
        _check_length(dataset.PixelData, layout)
        return
    if not is_encapsulated or layout.syntax in NATIVE:
        raise UnreadableRadiograph(_WRONG_SYNTAX)
    _check_fragments(dataset.PixelData)
    stream = next(generate_frames(dataset.PixelData, number_of_frames=1))
    if layout.syntax == uid.RLELossless:
        _check_rle(stream, layout)
    elif layout.syntax in _J2K:
        _check_stream(stream, read_jpeg2000_frame(stream), (0x51,), layout)
    elif layout.syntax in _JPEG_FRAMES:
        frame = read_jpeg_frame(stream)
        _check_stream(stream, frame, _JPEG_FRAMES[layout.syntax], layout)
        if frame.kind == 0xC1:
            stream = select_full_spectrum(stream, frame)
            dataset.PixelData = encapsulate([stream])
            dataset["PixelData"].is_undefined_length = True
        if layout.syntax not in JPEG_LS:  # its decoder sees to it
            require_undamaged(stream, frame)
    else:
        known = layout.syntax.name if layout.syntax.is_transfer_syntax else "unknown"
        raise UnreadableRadiograph(f"the transfer syntax of the DICOM file is not supported: {known}")


def _check_fragments(data: bytes) -> None:
    """Each fragment is as long as it says, PS3.5 A.4."""
    at = 0
    while at + 8 <= len(data):
        item, length = struct.unpack_from("<II", data, at)
        if item != _ITEM:
            break
        at += 8 + length
    if at != len(data):
        raise UnreadableRadiograph("the fragments of the DICOM file are damaged or cut short")


def _check_length(data: bytes, layout: PixelLayout) -> None:
    values = layout.rows * layout.columns * layout.samples
    if layout.photometric == "YBR_FULL_422":
        values = values * 2 // 3
    expected = values * (layout.allocated // 8)
    if not expected <= len(data) <= expected + expected % 2:
        raise UnreadableRadiograph(f"the header announces {expected} bytes of pixels, there are {len(data)}")


def _check_rle(stream: bytes, layout: PixelLayout) -> None:
    """One segment for each byte of a pixel, PS3.5 G.5, and in each as many bytes as there are pixels.

    Some encoders add a few. But the decoder takes the first of however many, and a segment that has lost some
    often unpacks to more.
    """
    segments = int.from_bytes(stream[:4], "little")
    if len(stream) < 64 or segments != layout.samples * layout.allocated // 8:
        raise UnreadableRadiograph("the RLE segments of the DICOM file do not fit its header")
    starts = struct.unpack_from(f"<{segments}I", stream, 4)
    if sorted(starts) != list(starts) or starts[0] < 64 or starts[-1] >= len(stream):
        raise UnreadableRadiograph("the RLE segments of the DICOM file do not fit its header")
    too_many = layout.rows * layout.columns + _MOST_SPARE + 1
    for start, end in pairwise([*starts, len(stream)]):
        with contextlib.suppress(ValueError):  # it does not hold so many
            decode_frame(_ONE_SEGMENT + stream[start:end], too_many, 8, "<")
            raise UnreadableRadiograph("an RLE segment of the DICOM file is damaged")


def _check_stream(stream: bytes, frame: FrameHeader, kinds: tuple[int, ...], layout: PixelLayout) -> None:
    if frame.kind not in kinds:
        raise UnreadableRadiograph(_WRONG_SYNTAX)
    if (frame.rows, frame.columns, frame.components) != (layout.rows, layout.columns, layout.samples):
        raise UnreadableRadiograph("the compressed pixels are not of the size that the DICOM file announces")
    if not 2 <= frame.precision <= layout.allocated:
        raise UnreadableRadiograph("the compressed pixels of the DICOM file have more bits than it announces")
    if not has_end_marker(stream):
        raise UnreadableRadiograph("the compressed pixels of the DICOM file are cut short")
