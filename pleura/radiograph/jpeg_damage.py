"""Detect damage in the coded data of a JPEG.

JPEG has no checksum, and codecs fill in what is missing. But after more than a few bytes were lost, zeroed or
inserted, the data nearly always end too early or too late. libjpeg-turbo reports that as a warning.
"""

import re
from collections.abc import Sequence
from itertools import chain
from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from pleura.errors import UnreadableRadiograph
from pleura.radiograph.codestream import FrameHeader
from pleura.radiograph.jpeg_codestream import (
    BASELINE_FRAME,
    EXTENDED_FRAME,
    LOSSLESS_FRAME,
    PROGRESSIVE_FRAME,
    START_OF_SCAN,
    MarkerSegment,
    is_frame_marker,
    read_jpeg_scans,
    read_jpeg_segments,
)

_SEQUENTIAL_FRAMES: Final = (BASELINE_FRAME, EXTENDED_FRAME)
_APPLICATION_MARKERS: Final = range(0xE0, 0xF0)
_ADOBE_RGB: Final = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0"
"""Adobe's segment that declares three components as red, green and blue."""
_END_OF_IMAGE: Final = b"\xff\xd9"
_STRAY_BYTES: Final = re.compile(r"\b(\d|1[0-6]) extraneous bytes before marker 0xd9")
_UNUSUAL_SAMPLING: Final = "Could not determine subsampling level"
_NO_MEMORY: Final = "Insufficient memory"


def decode_strictly(stream: bytes, frame: FrameHeader) -> NDArray[np.uint8] | None:
    """Decode an 8-bit JPEG to grey, shape (rows, columns); None if libjpeg-turbo warns of anything."""
    if not _has_all_scans(stream, frame):
        return None
    try:
        grey: NDArray[np.uint8] = simplejpeg.decode_jpeg(stream, "GRAY", strict=True)[..., 0]
    except ValueError:
        return None
    return grey


def require_undamaged(stream: bytes, frame: FrameHeader) -> None:
    """Require that the Huffman-coded data of a JPEG, of any precision and process, are undamaged.

    How the data are coded depends neither on the precision nor on colour profiles. The data are therefore
    decoded behind the headers of an 8-bit JPEG without a profile. A few zeros behind the data are allowed,
    because some cameras write them. So is colour sampling that TurboJPEG does not know.

    Raises:
        UnreadableRadiograph: The data end too early or too late, or are invalid, or a scan is missing.
        MemoryError: There is not enough memory to decode the data.
    """
    segments = list(read_jpeg_segments(stream))
    headers, data = _simplify_headers(stream, segments, frame), stream[segments[-1].end :]
    warning = _read_decoder_warning(headers + data, frame)
    if warning and not (_UNUSUAL_SAMPLING in warning or _is_about_few_zeros(warning, data)):
        raise UnreadableRadiograph("the data of the JPEG are damaged")
    if not _has_all_scans(stream, frame):
        raise UnreadableRadiograph("scans of the JPEG are missing")


def _simplify_headers(stream: bytes, segments: Sequence[MarkerSegment], frame: FrameHeader) -> bytes:
    """Keep the headers that the coded data depend on, with 8 bits and the usual values in all others."""
    parts = [stream[:2]]
    if frame.marker == LOSSLESS_FRAME and frame.components > 1:
        parts.append(_ADOBE_RGB)
    for segment in segments:
        part = bytearray(stream[segment.start : segment.end])
        if is_frame_marker(segment.marker):
            part[4] = 8  # bits
        elif segment.marker == START_OF_SCAN and frame.marker in _SEQUENTIAL_FRAMES:
            part[-3:] = b"\0\x3f\0"  # all coefficients
        elif segment.marker == START_OF_SCAN and frame.marker == LOSSLESS_FRAME:
            part[-1] = 0  # no point transform
        if segment.marker not in _APPLICATION_MARKERS:
            parts.append(bytes(part))
    return b"".join(parts)


def _read_decoder_warning(stream: bytes, frame: FrameHeader) -> str:
    """Decode with libjpeg-turbo, and give its warning; empty if there is none."""
    colours = "RGB" if frame.marker == LOSSLESS_FRAME and frame.components > 1 else "GRAY"
    try:
        simplejpeg.decode_jpeg(stream, colours, strict=True)
    except ValueError as error:
        if _NO_MEMORY in str(error):
            raise MemoryError from error
        return str(error)
    return ""


def _is_about_few_zeros(warning: str, data: bytes) -> bool:
    """Say whether the only fault is a few zeros between the data and the end of the image."""
    stray = _STRAY_BYTES.search(warning)
    return stray is not None and data[: data.index(_END_OF_IMAGE)].endswith(bytes(int(stray[1])))


def _has_all_scans(stream: bytes, frame: FrameHeader) -> bool:
    """Say whether each component has a scan, and the first one, which is the grey, has all its coefficients.

    A progressive JPEG carries coefficients bit by bit. libjpeg does not warn about a missing scan.

    Source:
        ITU-T T.81 B.2.3, G.1.1.1.
    """
    (header,) = (segment for segment in read_jpeg_segments(stream) if is_frame_marker(segment.marker))
    components = stream[header.start + 10 : header.end : 3]
    if not components or len(components) != frame.components:
        return False
    is_progressive = frame.marker == PROGRESSIVE_FRAME
    scans = list(read_jpeg_scans(stream, frame))
    complete = [
        scan.coefficients if is_progressive else range(64)
        for scan in scans
        if components[0] in scan.components and not (is_progressive and scan.bits_left)
    ]
    present = {component for scan in scans for component in scan.components}
    return present.issuperset(components) and set(range(64)).issubset(chain.from_iterable(complete))
