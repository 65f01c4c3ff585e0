"""What the codestreams of JPEG, JPEG-LS and JPEG 2000 have in common."""

from dataclasses import dataclass
from typing import Final

_END_OF_IMAGE: Final = b"\xff\xd9"
_MAX_PADDING_BYTES: Final = 14


@dataclass(frozen=True)
class FrameHeader:
    """The dimensions that a codestream announces."""

    marker: int
    """0xC0 baseline, 0xC1 extended, 0xC2 progressive, 0xC3 lossless, 0xF7 JPEG-LS, 0x51 JPEG 2000."""
    precision: int
    """Bits of a sample."""
    rows: int
    columns: int
    components: int
    scan_offset: int = 0
    """Offset of the header of the first scan; 0 in JPEG 2000, which has none."""
    is_signed: bool = False
    """Whether the codestream itself says that its samples are signed; only JPEG 2000 can."""


def has_end_marker(stream: bytes) -> bool:
    """Say whether a codestream ends with its end marker, the same in all three formats."""
    return _END_OF_IMAGE in stream.rstrip(b"\0")[-len(_END_OF_IMAGE) - _MAX_PADDING_BYTES :]
