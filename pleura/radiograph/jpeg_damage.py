"""Whether the coded data of a JPEG are those of its picture.

JPEG has no checksum, and codecs fill in what is missing. But where more than a few bytes were lost, zeroed or
put in, the data nearly always end too early or too late, which libjpeg-turbo notices and tells.
"""

import re
from collections.abc import Sequence
from itertools import chain
from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from pleura.errors import UnreadableRadiograph
from pleura.radiograph.codestream import (
    START_OF_SCAN,
    FrameHeader,
    MarkerSegment,
    is_frame_marker,
    read_jpeg_scans,
    read_jpeg_segments,
)

_SEQUENTIAL: Final = (0xC0, 0xC1)
_PROGRESSIVE, _LOSSLESS = 0xC2, 0xC3
_APPLICATIONS: Final = range(0xE0, 0xF0)
_PLAIN_COLOURS: Final = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0"
"""The segment of Adobe's that says of three colours that they are red, green and blue."""
_END: Final = b"\xff\xd9"
_STRAY: Final = re.compile(r"\b(\d|1[0-6]) extraneous bytes before marker 0xd9")
_UNUSUAL_SAMPLING: Final = "Could not determine subsampling level"
_NO_MEMORY: Final = "Insufficient memory"


def decode_strictly(stream: bytes, frame: FrameHeader) -> NDArray[np.uint8] | None:
    """Decode a JPEG of 8 bits to grey, shape (rows, columns); None where there is anything to complain of."""
    if not _has_all_scans(stream, frame):
        return None
    try:
        grey: NDArray[np.uint8] = simplejpeg.decode_jpeg(stream, "GRAY", strict=True)[..., 0]
    except ValueError:
        return None
    return grey


def require_undamaged(stream: bytes, frame: FrameHeader) -> None:
    """Check the data of a JPEG in Huffman's codes, of any precision and process.

    How they are coded depends neither on the precision nor on what is said of colours and profiles: they are
    read as if it were 8 bits without any profile. A few zeros behind them pass, as some cameras write them,
    and so does a JPEG whose colours are sampled in a way that TurboJPEG has no name for.

    Raises:
        UnreadableRadiograph: The data end before the picture does, or after it, or stop making sense, or some
            scans are missing.
        MemoryError: There is not enough of it to find out.
    """
    segments = list(read_jpeg_segments(stream))
    head, data = _plain_head(stream, segments, frame), stream[segments[-1].end :]
    complaint = _complaint(head + data, frame)
    if complaint and not (_UNUSUAL_SAMPLING in complaint or _is_of_few_zeros(complaint, data)):
        raise UnreadableRadiograph("the data of the JPEG are damaged")
    if not _has_all_scans(stream, frame):
        raise UnreadableRadiograph("scans of the JPEG are missing")


def _plain_head(stream: bytes, segments: Sequence[MarkerSegment], frame: FrameHeader) -> bytes:
    """The headers with what the data depend on, and all else as it usually is."""
    parts = [stream[:2]]
    if frame.kind == _LOSSLESS and frame.components > 1:
        parts.append(_PLAIN_COLOURS)
    for segment in segments:
        part = bytearray(stream[segment.at : segment.end])
        if is_frame_marker(segment.kind):
            part[4] = 8  # bits
        elif segment.kind == START_OF_SCAN and frame.kind in _SEQUENTIAL:
            part[-3:] = b"\0\x3f\0"  # all coefficients
        elif segment.kind == START_OF_SCAN and frame.kind == _LOSSLESS:
            part[-1] = 0  # no point transform
        if segment.kind not in _APPLICATIONS:
            parts.append(bytes(part))
    return b"".join(parts)


def _complaint(stream: bytes, frame: FrameHeader) -> str:
    """What libjpeg-turbo complains of; nothing where all is well."""
    colours = "RGB" if frame.kind == _LOSSLESS and frame.components > 1 else "GRAY"
    try:
        simplejpeg.decode_jpeg(stream, colours, strict=True)
    except ValueError as error:
        if _NO_MEMORY in str(error):
            raise MemoryError from error
        return str(error)
    return ""


def _is_of_few_zeros(complaint: str, data: bytes) -> bool:
    """Whether all that is wrong are some zeros between the data and their end."""
    stray = _STRAY.search(complaint)
    return stray is not None and data[: data.index(_END)].endswith(bytes(int(stray[1])))


def _has_all_scans(stream: bytes, frame: FrameHeader) -> bool:
    """Whether scans tell of each component, and of the first one, which is the grey, all there is.

    A progressive file tells coefficients bit by bit; libjpeg minds nothing that is not told at all.

    Source:
        ITU-T T.81 B.2.3, G.1.1.1.
    """
    (header,) = (each for each in read_jpeg_segments(stream) if is_frame_marker(each.kind))
    names = stream[header.at + 10 : header.end : 3]
    if not names or len(names) != frame.components:
        return False
    scans = list(read_jpeg_scans(stream, frame))
    complete = [
        scan.coefficients if frame.kind == _PROGRESSIVE else range(64)
        for scan in scans
        if names[0] in scan.components and not (frame.kind == _PROGRESSIVE and scan.bits_left)
    ]
    told = {name for scan in scans for name in scan.components}
    return told.issuperset(names) and set(range(64)).issubset(chain.from_iterable(complete))
