"""Build decompression bombs. Repeating one block saves the seconds that deflating gigabytes takes."""

import zlib
from typing import Final

_BLOCK: Final = 2**20


def make_deflate_bomb(size: int) -> bytes:
    """Make a raw deflate stream of at least ``size`` zeros from one repeated block."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = deflater.compress(b"\0" * _BLOCK) + deflater.flush(zlib.Z_FULL_FLUSH)
    # A full flush makes each block independent of the one before, so that it can be repeated.
    return block * -(-size // _BLOCK) + b"\3\0"


def make_zlib_bomb(size: int) -> bytes:
    """Make the same stream in zlib's format. The Adler-32 checksum of zeros follows from their number."""
    whole = -(-size // _BLOCK) * _BLOCK
    return b"\x78\xda" + make_deflate_bomb(size) + (whole % 65_521 << 16 | 1).to_bytes(4, "big")
