"""Read the headers of a JPEG or JPEG-LS codestream without decoding it."""

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pleura.errors import UnreadableRadiograph
from pleura.radiograph.codestream import FrameHeader

BASELINE_FRAME: Final = 0xC0
EXTENDED_FRAME: Final = 0xC1
PROGRESSIVE_FRAME: Final = 0xC2
LOSSLESS_FRAME: Final = 0xC3
START_OF_SCAN: Final = 0xDA
_JPEG_LS_FRAME: Final = 0xF7
_END_OF_IMAGE: Final = 0xD9
_NOT_FRAMES: Final = (0xC4, 0xC8, 0xCC)
"""Markers between 0xC0 and 0xCF that do not begin a frame: Huffman tables, reserved, arithmetic coding."""
_BARE_MARKERS: Final = (0x01, *range(0xD0, 0xD8))
"""Markers without a segment behind them."""
_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
"""A marker within the data of a scan; there a data byte of 0xFF is followed by a zero."""
_FILL: Final = re.compile(rb"\xff+")
_MAX_COMPONENTS: Final = 4
_MAX_SEGMENTS: Final = 10_000
_NO_FRAME: Final = "the JPEG stream has no valid frame header"


@dataclass(frozen=True)
class MarkerSegment:
    """A marker of a JPEG stream with its segment, from ``start`` to ``end``."""

    marker: int
    start: int
    end: int


@dataclass(frozen=True)
class ScanHeader:
    """The header of a scan: its components, its coefficients, and how many bits later scans add."""

    components: Sequence[int]
    coefficients: range
    bits_left: int


def read_jpeg_segments(stream: bytes) -> Iterator[MarkerSegment]:
    """Read the segments of a JPEG or JPEG-LS stream, up to and including the header of the first scan.

    Raises:
        UnreadableRadiograph: There is no such header, or there is something else before it.

    Source:
        ITU-T T.81 annex B (markers), ITU-T T.87 annex C (JPEG-LS).
    """
    offset = 2
    for _ in range(_MAX_SEGMENTS):
        offset = _skip_fill_bytes(stream, offset)
        marker = stream[offset + 1]
        length = 0 if marker in _BARE_MARKERS else int.from_bytes(stream[offset + 2 : offset + 4], "big")
        if length < 2 and marker not in _BARE_MARKERS:
            break
        yield MarkerSegment(marker, offset, offset + 2 + length)
        if marker == START_OF_SCAN:
            return
        offset += 2 + length
    raise UnreadableRadiograph(_NO_FRAME)


def _skip_fill_bytes(stream: bytes, offset: int) -> int:
    if fill := _FILL.match(stream, offset):
        offset = fill.end() - 1
    if len(stream) < offset + 4 or stream[offset] != 0xFF:
        raise UnreadableRadiograph("the JPEG stream is damaged or cut short")
    return offset


def is_frame_marker(marker: int) -> bool:
    """Say whether a marker begins the header of a frame."""
    return (0xC0 <= marker <= 0xCF and marker not in _NOT_FRAMES) or marker == _JPEG_LS_FRAME


def read_jpeg_frame(stream: bytes) -> FrameHeader:
    """Read the frame header of a JPEG or JPEG-LS stream.

    Raises:
        UnreadableRadiograph: There is not exactly one, or it is cut short.
    """
    segments = list(read_jpeg_segments(stream))
    frames = [segment for segment in segments if is_frame_marker(segment.marker)]
    if len(frames) != 1 or min(len(stream), frames[0].end) < frames[0].start + 10:
        raise UnreadableRadiograph(_NO_FRAME)
    precision, rows, columns, components = struct.unpack_from(">BHHB", stream, frames[0].start + 4)
    return FrameHeader(frames[0].marker, precision, rows, columns, components, segments[-1].start)


def read_jpeg_scans(stream: bytes, frame: FrameHeader) -> Iterator[ScanHeader]:
    """Read the headers of the scans, up to the end of the image or to the first invalid header.

    Source:
        ITU-T T.81 B.2.3.
    """
    offset = frame.scan_offset
    for _ in range(_MAX_SEGMENTS):
        found = _MARKER.search(stream, offset)
        if found is None or stream[found.start() + 1] == _END_OF_IMAGE:
            return
        offset = found.end() + int.from_bytes(stream[found.end() : found.end() + 2], "big")
        if stream[found.start() + 1] == START_OF_SCAN:
            header = stream[found.end() + 2 : offset]
            if not header or header[0] > _MAX_COMPONENTS or len(header) != 4 + 2 * header[0]:
                return
            first, last, bits = header[-3:]
            yield ScanHeader(header[1:-3:2], range(first, last + 1), bits & 0x0F)


def cut_behind_end(stream: bytes, frame: FrameHeader) -> bytes:
    """Remove what stands behind the end of the image; a motion photo has a film there.

    A stream without an end is given back as it is.
    """
    offset = frame.scan_offset
    for _ in range(_MAX_SEGMENTS):
        found = _MARKER.search(stream, offset)
        if found is None:
            return stream
        if stream[found.start() + 1] == _END_OF_IMAGE:
            return stream if found.end() == len(stream) else stream[: found.end()]
        offset = found.end() + int.from_bytes(stream[found.end() : found.end() + 2], "big")
    return stream


def select_full_spectrum(stream: bytes, frame: FrameHeader) -> bytes:
    """Write the spectral selection 0 to 63 into the scan header of a sequential JPEG.

    A sequential stream allows no other selection. Some 12-bit encoders, NEMA's own samples among them, write
    0 to 0, which libjpeg refuses.

    Source:
        ITU-T T.81 table B.3.
    """
    components = stream[frame.scan_offset + 4]
    selection = frame.scan_offset + 5 + 2 * components
    return stream[:selection] + b"\x00\x3f\x00" + stream[selection + 3 :]
