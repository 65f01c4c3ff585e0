"""PNG files made to do harm, and what must come of each."""

import zlib
from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from proof.attacks.files.bombs import zlib_zeros
from proof.attacks.files.case import (
    ANY_ERROR,
    DAMAGED,
    REFUSED,
    TOO_LARGE,
    HostileFile,
    fails,
    shows,
    shows_or_fails,
)
from proof.lab.files import encode_png, make_png, make_png_chunk
from proof.lab.pictures import make_picture

_PICTURE: Final = make_picture()
_ROWS, _COLUMNS = _PICTURE.shape
_LINES: Final = b"".join(b"\0" + row.tobytes() for row in _PICTURE)
_GIGABYTE: Final = 2**30
_START: Final = 8
_HEADER_END: Final = 33


def _colour() -> np.ndarray:
    return cv2.cvtColor(_PICTURE, cv2.COLOR_GRAY2BGR)


def _plain(extra: bytes = b"", **changes: int) -> bytes:
    return make_png(_ROWS, _COLUMNS, _LINES, extra=extra, **changes)  # type: ignore[arg-type]


def _png_around(header: bytes, *chunks: bytes) -> bytes:
    return (
        b"\x89PNG\r\n\x1a\n"
        + make_png_chunk(b"IHDR", header)
        + b"".join(chunks)
        + make_png_chunk(b"IEND", b"")
    )


def _header(rows: int, columns: int, depth: int = 8, colour: int = 0, interlaced: int = 0) -> bytes:
    return columns.to_bytes(4, "big") + rows.to_bytes(4, "big") + bytes([depth, colour, 0, 0, interlaced])


def _of_zeros(side: int, depth: int, colour: int, interlaced: int = 0, line_bytes: int = 0) -> bytes:
    body = zlib_zeros(side * (1 + (line_bytes or side)))
    return _png_around(_header(side, side, depth, colour, interlaced), make_png_chunk(b"IDAT", body))


def _in_pieces(size: int) -> bytes:
    body = zlib.compress(_LINES)
    pieces = [make_png_chunk(b"IDAT", body[at : at + size]) for at in range(0, len(body), size)]
    empty = [make_png_chunk(b"IDAT", b"")] * 20_000
    return _png_around(_header(_ROWS, _COLUMNS), *pieces[:5], *empty, *pieces[5:])


def _wrong_checksum(name: bytes) -> bytes:
    file = bytearray(_plain(make_png_chunk(b"tEXt", b"Comment\0x")))
    at = file.index(name)
    length = int.from_bytes(file[at - 4 : at], "big")
    file[at + 4 + length] ^= 0xFF
    return bytes(file)


def _bomb(name: bytes) -> bytes:
    start = {b"iTXt": b"x\0\1\0\0\0", b"zTXt": b"x\0\0", b"iCCP": b"x\0\0"}[name]
    return _plain(make_png_chunk(name, start + zlib_zeros(_GIGABYTE)))


def _valid(depth: int, colour: int) -> bool:
    return depth in {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}.get(colour, ())


def _combined(depth: int, colour: int) -> bytes:
    channels = {2: 3, 4: 2, 6: 4}.get(colour, 1)
    line = b"\0" + bytes(i % 251 for i in range(max(1, 20 * channels * depth // 8)))
    palette = make_png_chunk(b"PLTE", bytes(range(256)) * 3) if colour == 3 and depth == 8 else b""
    if colour == 3 and depth < 8:
        palette = make_png_chunk(b"PLTE", bytes(range(3 * 2**depth)))
    return make_png(20, 20, line * 20, depth=depth, colour=colour, extra=palette)


def _combined_picture(depth: int) -> NDArray[np.uint8]:
    """What a good combination shows: numbers that grow from left to right, each cut into pieces."""
    if depth >= 8:
        return np.tile(np.arange(20, dtype=np.uint8), (20, 1))
    bits = np.unpackbits(np.arange(20 * depth // 8, dtype=np.uint8)).reshape(20, depth)
    return np.tile(bits @ (1 << np.arange(depth)[::-1]).astype(np.uint8), (20, 1))


def _palette(entries: int) -> bytes:
    return make_png_chunk(b"PLTE", b"".join(bytes([i % 256] * 3) for i in range(entries)))


def _negative_palette() -> bytes:
    """Indices from white to black, and colours from white to black: the picture itself."""
    lines = b"".join(b"\0" + row.tobytes() for row in 255 - _PICTURE)
    colours = make_png_chunk(b"PLTE", b"".join(bytes([255 - i] * 3) for i in range(256)))
    return make_png(_ROWS, _COLUMNS, lines, colour=3, extra=colours)


def png_cases() -> Iterator[tuple[str, HostileFile]]:
    """By name."""
    yield "gigabyte announced", fails(lambda: _of_zeros(32_768, 8, 0, line_bytes=1300), *TOO_LARGE)
    yield "gigabyte interlaced", fails(lambda: _of_zeros(32_768, 8, 0, 1, line_bytes=1300), *TOO_LARGE)
    yield "2^31 x 2^31", fails(lambda: make_png(2**31 - 1, 2**31 - 1, b"\0" * 99), *TOO_LARGE)
    yield (
        "gigabyte behind a small header",
        fails(
            lambda: _png_around(_header(16, 16), make_png_chunk(b"IDAT", zlib_zeros(_GIGABYTE))), *ANY_ERROR
        ),
    )
    yield "100 megapixels of nothing", fails(lambda: _of_zeros(9_999, 8, 0), *ANY_ERROR)
    yield "100 megapixels of nothing, interlaced", fails(lambda: _of_zeros(9_999, 8, 0, 1), *ANY_ERROR)
    yield (
        "100 megapixels of RGBA with 16 bits",
        fails(lambda: _of_zeros(9_999, 16, 6, line_bytes=79_992), *ANY_ERROR),
    )
    for name in (b"zTXt", b"iTXt", b"iCCP"):
        yield f"bomb in {name.decode()}", shows(lambda name=name: _bomb(name), _PICTURE)
    yield "20,000 empty IDAT", shows_or_fails(lambda: _in_pieces(7), _PICTURE)
    for name in (b"IHDR", b"IDAT", b"IEND"):
        yield f"checksum of {name.decode()} wrong", fails(lambda name=name: _wrong_checksum(name), *DAMAGED)
    yield "checksum of tEXt wrong", shows(lambda: _wrong_checksum(b"tEXt"), _PICTURE)
    for twentieth in range(20):
        yield (
            f"cut at {twentieth}/20",
            fails(lambda n=twentieth: _plain()[: len(_plain()) * n // 20], *DAMAGED),
        )
    for depth in (0, 1, 2, 3, 4, 8, 16, 32):
        for colour in range(8):
            case = fails(lambda d=depth, c=colour: _combined(d, c), *DAMAGED)
            if _valid(depth, colour) and depth > 1:  # a line of 20 bits is more than the bytes that are there
                case = shows(case.file, _combined_picture(depth), 0.9)
            yield f"depth {depth}, colour {colour}", case
    yield from _png_oddities()


def _png_oddities() -> Iterator[tuple[str, HostileFile]]:
    animation = make_png_chunk(b"acTL", b"\0\0\0\2\0\0\0\0")
    yield "animation", fails(lambda: _plain(animation), *REFUSED)
    yield "16 bits", shows(lambda: encode_png(_PICTURE.astype(np.uint16) * 257), _PICTURE)
    yield "RGB with 16 bits", shows(lambda: encode_png(_colour().astype(np.uint16) * 257), _PICTURE)
    yield (
        "alpha, opaque",
        shows(lambda: encode_png(np.dstack([_colour(), np.full_like(_PICTURE, 255)])), _PICTURE, 0.97),
    )
    yield (
        "alpha, transparent",
        fails(lambda: encode_png(np.dstack([_colour(), np.zeros_like(_PICTURE)])), *REFUSED),
    )
    yield "palette from white to black", shows(_negative_palette, _PICTURE)
    yield "palette missing", fails(lambda: _plain(colour=3), *DAMAGED)
    yield "palette of 257", fails(lambda: _plain(_palette(257), colour=3), *ANY_ERROR)
    yield "palette of 2 bytes", fails(lambda: _plain(make_png_chunk(b"PLTE", b"ab"), colour=3), *ANY_ERROR)
    yield (
        "palette shorter than its indices",
        shows(lambda: _plain(_palette(9), colour=3), np.where(_PICTURE < 9, _PICTURE, 0)),
    )
    yield (
        "gamma and white point",
        shows(
            lambda: _plain(make_png_chunk(b"gAMA", b"\0\0\0\1") + make_png_chunk(b"cHRM", b"\0" * 32)),
            _PICTURE,
        ),
    )
    yield "gamma of -1", shows(lambda: _plain(make_png_chunk(b"gAMA", b"\xff" * 4)), _PICTURE)
    yield "significant bits", shows(lambda: _plain(make_png_chunk(b"sBIT", b"\1")), _PICTURE)
    yield (
        "unknown critical chunk",
        shows_or_fails(lambda: _plain(make_png_chunk(b"ABCD", b"x" * 99)), _PICTURE),
    )
    yield (
        "two headers",
        shows_or_fails(lambda: _plain(make_png_chunk(b"IHDR", _header(9_999, 9_999))), _PICTURE),
    )
    yield (
        "header in the middle",
        fails(lambda: _plain()[:_START] + make_png_chunk(b"tEXt", b"a\0b") + _plain()[_START:], *DAMAGED),
    )
    yield "header of 12 bytes", fails(lambda: _png_around(_header(4, 4)[:12]), *DAMAGED)
    yield "no pixels", fails(lambda: make_png(0, 0, b""), *DAMAGED)
    yield "no columns", fails(lambda: make_png(7, 0, b"\0" * 7), *DAMAGED)
    yield "no IDAT", fails(lambda: _png_around(_header(4, 4)), *DAMAGED)
    yield "no IEND", fails(lambda: _plain()[:-12], *DAMAGED)
    yield (
        "IDAT of noise",
        fails(lambda: _png_around(_header(9, 9), make_png_chunk(b"IDAT", bytes(range(256)))), *DAMAGED),
    )
    yield (
        "filter of 255",
        fails(lambda: make_png(_ROWS, _COLUMNS, _LINES.replace(b"\0", b"\xff")), *ANY_ERROR),
    )
    yield (
        "half its lines",
        fails(lambda: make_png(_ROWS, _COLUMNS, _LINES[: len(_LINES) // 2]), *DAMAGED),
    )
    yield (
        "a chunk of 4 GB",
        fails(lambda: _plain()[:_HEADER_END] + b"\xff\xff\xff\xffIDAT" + b"\0" * 99, *DAMAGED),
    )
    yield "EXIF of noise", shows(lambda: _plain(make_png_chunk(b"eXIf", bytes(range(256)))), _PICTURE)
    yield "a zip behind it", shows(lambda: _plain() + b"PK\3\4" + b"\0" * 99, _PICTURE)
    yield (
        "a script in a comment",
        shows(lambda: _plain(make_png_chunk(b"tEXt", b"Comment\0<?php system($_GET[0]); ?>")), _PICTURE),
    )
