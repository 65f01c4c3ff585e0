"""Gigabytes of zeros in a few kilobytes, without the seconds that deflating them would take."""

import zlib
from typing import Final

_BLOCK: Final = 2**20


def deflated_zeros(size: int) -> bytes:
    """A raw deflate stream of about so many zeros: one block, again and again."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = deflater.compress(b"\0" * _BLOCK) + deflater.flush(zlib.Z_FULL_FLUSH)
    return block * -(-size // _BLOCK) + b"\3\0"


def zlib_zeros(size: int) -> bytes:
    """The same in zlib's wrapping, with the right checksum (Adler-32 of zeros is their number)."""
    whole = -(-size // _BLOCK) * _BLOCK
    return b"\x78\xda" + deflated_zeros(size) + (whole % 65_521 << 16 | 1).to_bytes(4, "big")
