"""What a compressed stream says of itself, so that it is believed before it is decoded."""

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pleura.errors import UnreadableRadiograph

START_OF_SCAN: Final = 0xDA
_END_OF_IMAGE: Final = 0xD9
_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
"""In the data of a scan, where a byte of 0xFF is followed by a zero."""
_FILL: Final = re.compile(rb"\xff+")
_MAX_COMPONENTS: Final = 4
_NOT_FRAMES: Final = (0xC4, 0xC8, 0xCC)
_JPEG_LS_FRAME: Final = 0xF7
_BARE_MARKERS: Final = (0x01, *range(0xD0, 0xD8))
_MAX_SEGMENTS: Final = 10_000
_NO_FRAME: Final = "the JPEG stream has no valid frame header"
_J2K_START: Final = b"\xff\x4f\xff\x51"
_START_OF_TILE: Final = b"\xff\x90"
_MAX_TILES: Final = 65_535


@dataclass(frozen=True)
class FrameHeader:
    """The dimensions that a JPEG or JPEG 2000 stream announces."""

    kind: int
    """The frame's marker: 0xC0 baseline, 0xC1 extended, 0xC3 lossless, 0xF7 JPEG-LS, 0x51 JPEG 2000."""
    precision: int
    rows: int
    columns: int
    components: int
    scan_at: int
    """Where the first scan's header begins."""


@dataclass(frozen=True)
class MarkerSegment:
    """A marker of a JPEG stream with what belongs to it, from the one place to the other."""

    kind: int
    at: int
    end: int


def read_jpeg_segments(stream: bytes) -> Iterator[MarkerSegment]:
    """The segments of a JPEG or JPEG-LS stream up to the first scan's header, with it.

    Raises:
        UnreadableRadiograph: There is no such header, or something else before it.

    Source:
        ITU-T T.81 annex B (markers), ITU-T T.87 annex C (JPEG-LS).
    """
    at = 2
    for _ in range(_MAX_SEGMENTS):
        at = _next_marker(stream, at)
        kind = stream[at + 1]
        length = 0 if kind in _BARE_MARKERS else int.from_bytes(stream[at + 2 : at + 4], "big")
        if length < 2 and kind not in _BARE_MARKERS:
            break
        yield MarkerSegment(kind, at, at + 2 + length)
        if kind == START_OF_SCAN:
            return
        at += 2 + length
    raise UnreadableRadiograph(_NO_FRAME)


def is_frame_marker(kind: int) -> bool:
    """Whether a marker is that of a frame's header."""
    return (0xC0 <= kind <= 0xCF and kind not in _NOT_FRAMES) or kind == _JPEG_LS_FRAME


def read_jpeg_frame(stream: bytes) -> FrameHeader:
    """Read the frame header of a JPEG or JPEG-LS stream without decoding it.

    Raises:
        UnreadableRadiograph: There is none, or it makes no sense.
    """
    segments = list(read_jpeg_segments(stream))
    frames = [each for each in segments if is_frame_marker(each.kind)]
    if len(frames) != 1 or min(len(stream), frames[0].end) < frames[0].at + 10:
        raise UnreadableRadiograph(_NO_FRAME)
    precision, rows, columns, components = struct.unpack_from(">BHHB", stream, frames[0].at + 4)
    return FrameHeader(frames[0].kind, precision, rows, columns, components, scan_at=segments[-1].at)


@dataclass(frozen=True)
class ScanHeader:
    """What the header of a scan says: of which components, which coefficients, with how many bits to come."""

    components: Sequence[int]
    coefficients: range
    bits_left: int


def read_jpeg_scans(stream: bytes, frame: FrameHeader) -> Iterator[ScanHeader]:
    """The headers of a JPEG's scans up to the end of its image, or to one that makes no sense."""
    at = frame.scan_at
    for _ in range(_MAX_SEGMENTS):
        marker = _MARKER.search(stream, at)
        if marker is None or stream[marker.start() + 1] == _END_OF_IMAGE:
            return
        at = marker.end() + int.from_bytes(stream[marker.end() : marker.end() + 2], "big")
        if stream[marker.start() + 1] == START_OF_SCAN:
            header = stream[marker.end() + 2 : at]
            if not header or header[0] > _MAX_COMPONENTS or len(header) != 4 + 2 * header[0]:
                return
            first, last, bits = header[-3:]
            yield ScanHeader(header[1:-3:2], range(first, last + 1), bits & 0x0F)


def _next_marker(stream: bytes, at: int) -> int:
    """Step over fill bytes to the marker that must stand here."""
    if fill := _FILL.match(stream, at):
        at = fill.end() - 1
    if len(stream) < at + 4 or stream[at] != 0xFF:
        raise UnreadableRadiograph("the JPEG stream is damaged or cut short")
    return at


def read_jpeg2000_frame(stream: bytes) -> FrameHeader:
    """Read the size segment of a JPEG 2000 codestream without decoding it.

    Raises:
        UnreadableRadiograph: There is none, or its components differ in size or depth, or a tile is missing:
            openjpeg leaves what is missing black.

    Source:
        ITU-T T.800 A.5.1.
    """
    if not stream.startswith(_J2K_START) or len(stream) < 42:
        raise UnreadableRadiograph("the pixel data is no JPEG 2000 codestream")
    right, bottom, left, top, *_, components = struct.unpack_from(">8IH", stream, 8)
    described = stream[42 : 42 + 3 * components]
    kinds = {described[i : i + 3] for i in range(0, len(described), 3)}
    if len(described) != 3 * components or len(kinds) != 1 or described[1:3] != b"\x01\x01":
        raise UnreadableRadiograph("the JPEG 2000 codestream has no valid size segment")
    if not _has_all_tiles(stream):
        raise UnreadableRadiograph("the JPEG 2000 codestream is damaged or cut short")
    precision = (described[0] & 0x7F) + 1
    return FrameHeader(0x51, precision, bottom - top, right - left, components, scan_at=0)


def _has_all_tiles(stream: bytes) -> bool:
    """Say whether each tile of the grid has a part in the stream, and each part is as long as it says.

    Source:
        ITU-T T.800 A.4.2, B.3.
    """
    right, bottom, _, _, width, height, left, top = struct.unpack_from(">8I", stream, 8)
    if not (width and height):
        return False
    tiles = -(-(right - left) // width) * -(-(bottom - top) // height)
    at, found = 2, set[int]()
    while stream[at : at + 2] != _START_OF_TILE:
        at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        if at + 12 > len(stream):
            return False
    while stream[at : at + 2] == _START_OF_TILE and at + 12 <= len(stream):
        index, length = struct.unpack_from(">HI", stream, at + 4)
        found.add(index)
        at = at + length if length else len(stream)
    return found == set(range(min(tiles, _MAX_TILES + 1))) and at <= len(stream)


def has_end_marker(stream: bytes) -> bool:
    """Say whether the stream ends with its end marker (the same in JPEG, JPEG-LS and JPEG 2000)."""
    return b"\xff\xd9" in stream[-16:]


def select_full_spectrum(stream: bytes, frame: FrameHeader) -> bytes:
    """Write the spectral selection 0 to 63 into the scan header of a sequential JPEG.

    Sequential streams allow no other, but some 12-bit encoders (NEMA's own samples among them) left it
    0 to 0, which libjpeg refuses.

    Source:
        ITU-T T.81 table B.3.
    """
    components = stream[frame.scan_at + 4]
    selection = frame.scan_at + 5 + 2 * components
    return stream[:selection] + b"\x00\x3f\x00" + stream[selection + 3 :]
