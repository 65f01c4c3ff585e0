"""Check the segments of RLE pixel data: its decoder ignores values that are too many."""

import contextlib
import struct
from itertools import pairwise
from typing import Final

from rle.rle import decode_frame

from pleura.errors import UnreadableRadiograph

_HEADER_BYTES: Final = 64
_ONE_SEGMENT_HEADER: Final = struct.pack("<2I", 1, _HEADER_BYTES).ljust(_HEADER_BYTES, b"\0")
_MAX_SPARE_BYTES: Final = 4
_WRONG_SEGMENTS: Final = "the RLE segments of the DICOM file do not fit its header"


def require_sound_rle(stream: bytes, *, segments: int, pixels: int) -> None:
    """Require one segment for each byte of a pixel, and in each segment one byte for each pixel.

    Some encoders add a few bytes. A segment that lost data often unpacks to many more bytes.

    Raises:
        UnreadableRadiograph: The number of segments is wrong, or a segment is damaged.

    Source:
        DICOM PS3.5 G.5 (RLE header).
    """
    announced = int.from_bytes(stream[:4], "little")
    if len(stream) < _HEADER_BYTES or announced != segments:
        raise UnreadableRadiograph(_WRONG_SEGMENTS)
    starts = struct.unpack_from(f"<{segments}I", stream, 4)
    if sorted(starts) != list(starts) or starts[0] < _HEADER_BYTES or starts[-1] >= len(stream):
        raise UnreadableRadiograph(_WRONG_SEGMENTS)
    too_many = pixels + _MAX_SPARE_BYTES + 1
    for start, end in pairwise([*starts, len(stream)]):
        with contextlib.suppress(ValueError):  # the segment holds fewer bytes, as it must
            decode_frame(_ONE_SEGMENT_HEADER + stream[start:end], too_many, 8, "<")
            raise UnreadableRadiograph("an RLE segment of the DICOM file is damaged")
