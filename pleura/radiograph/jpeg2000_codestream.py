"""Read the headers of a JPEG 2000 codestream without decoding it."""

import struct
from typing import Final

from pleura.errors import UnreadableRadiograph
from pleura.radiograph.codestream import FrameHeader

_START: Final = b"\xff\x4f\xff\x51"
_SIZE_MARKER: Final = 0x51
_START_OF_TILE: Final = b"\xff\x90"
_MAX_TILES: Final = 65_535
_SIGNED: Final = 0x80


def read_jpeg2000_frame(stream: bytes) -> FrameHeader:
    """Read the size segment, and require that all tiles are present: openjpeg shows a missing tile black.

    Raises:
        UnreadableRadiograph: The size segment is missing or its components differ, or a tile is missing.

    Source:
        ITU-T T.800 A.5.1.
    """
    if not stream.startswith(_START) or len(stream) < 42:
        raise UnreadableRadiograph("the pixel data is not a JPEG 2000 codestream")
    right, bottom, left, top, *_, components = struct.unpack_from(">8IH", stream, 8)
    descriptions = stream[42 : 42 + 3 * components]
    distinct = {descriptions[i : i + 3] for i in range(0, len(descriptions), 3)}
    if len(descriptions) != 3 * components or len(distinct) != 1 or descriptions[1:3] != b"\x01\x01":
        raise UnreadableRadiograph("the JPEG 2000 codestream has no valid size segment")
    if not _has_all_tiles(stream):
        raise UnreadableRadiograph("the JPEG 2000 codestream is damaged or cut short")
    precision = (descriptions[0] & 0x7F) + 1
    is_signed = descriptions[0] >= _SIGNED
    return FrameHeader(_SIZE_MARKER, precision, bottom - top, right - left, components, is_signed=is_signed)


def _has_all_tiles(stream: bytes) -> bool:
    """Say whether each tile of the grid has a part in the stream, and no part ends behind the stream.

    Source:
        ITU-T T.800 A.4.2, B.3.
    """
    right, bottom, _, _, width, height, left, top = struct.unpack_from(">8I", stream, 8)
    if not (width and height):
        return False
    tiles = -(-(right - left) // width) * -(-(bottom - top) // height)
    offset = 2
    while stream[offset : offset + 2] != _START_OF_TILE:
        offset += 2 + int.from_bytes(stream[offset + 2 : offset + 4], "big")
        if offset + 12 > len(stream):
            return False
    present = set[int]()
    while stream[offset : offset + 2] == _START_OF_TILE and offset + 12 <= len(stream):
        index, length = struct.unpack_from(">HI", stream, offset + 4)
        present.add(index)
        offset = offset + length if length else len(stream)
    return present == set(range(min(tiles, _MAX_TILES + 1))) and offset <= len(stream)
