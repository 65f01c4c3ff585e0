"""Hostile PNG files, each with its allowed outcomes."""

import zlib
from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from proof.attacks.files.bombs import make_zlib_bomb
from proof.attacks.files.case import (
    ANY_ERROR,
    DAMAGED,
    REFUSED,
    TOO_LARGE,
    HostileFile,
    expect_either,
    expect_errors,
    expect_picture,
)
from proof.lab.files import encode_png, make_png, make_png_chunk
from proof.lab.pictures import make_picture

_PICTURE: Final = make_picture()
_ROWS, _COLUMNS = _PICTURE.shape
_LINES: Final = b"".join(b"\0" + row.tobytes() for row in _PICTURE)
_GIGABYTE: Final = 2**30
_START: Final = 8
_HEADER_END: Final = 33


def _make_colour() -> np.ndarray:
    return cv2.cvtColor(_PICTURE, cv2.COLOR_GRAY2BGR)


def _build_png(extra: bytes = b"", **changes: int) -> bytes:
    return make_png(_ROWS, _COLUMNS, _LINES, extra=extra, **changes)  # type: ignore[arg-type]


def _assemble(header: bytes, *chunks: bytes) -> bytes:
    return (
        b"\x89PNG\r\n\x1a\n"
        + make_png_chunk(b"IHDR", header)
        + b"".join(chunks)
        + make_png_chunk(b"IEND", b"")
    )


def _encode_header(rows: int, columns: int, depth: int = 8, colour: int = 0, interlaced: int = 0) -> bytes:
    return columns.to_bytes(4, "big") + rows.to_bytes(4, "big") + bytes([depth, colour, 0, 0, interlaced])


def _make_blank(side: int, depth: int, colour: int, interlaced: int = 0, line_bytes: int = 0) -> bytes:
    body = make_zlib_bomb(side * (1 + (line_bytes or side)))
    return _assemble(_encode_header(side, side, depth, colour, interlaced), make_png_chunk(b"IDAT", body))


def _split_data(size: int) -> bytes:
    body = zlib.compress(_LINES)
    pieces = [make_png_chunk(b"IDAT", body[at : at + size]) for at in range(0, len(body), size)]
    empty = [make_png_chunk(b"IDAT", b"")] * 20_000
    return _assemble(_encode_header(_ROWS, _COLUMNS), *pieces[:5], *empty, *pieces[5:])


def _break_checksum(name: bytes) -> bytes:
    file = bytearray(_build_png(make_png_chunk(b"tEXt", b"Comment\0x")))
    at = file.index(name)
    length = int.from_bytes(file[at - 4 : at], "big")
    file[at + 4 + length] ^= 0xFF
    return bytes(file)


def _make_text_bomb(name: bytes) -> bytes:
    start = {b"iTXt": b"x\0\1\0\0\0", b"zTXt": b"x\0\0", b"iCCP": b"x\0\0"}[name]
    return _build_png(make_png_chunk(name, start + make_zlib_bomb(_GIGABYTE)))


def _is_valid(depth: int, colour: int) -> bool:
    return depth in {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}.get(colour, ())


def _make_combination(depth: int, colour: int) -> bytes:
    channels = {2: 3, 4: 2, 6: 4}.get(colour, 1)
    line = b"\0" + bytes(i % 251 for i in range(max(1, 20 * channels * depth // 8)))
    palette = make_png_chunk(b"PLTE", bytes(range(256)) * 3) if colour == 3 and depth == 8 else b""
    if colour == 3 and depth < 8:
        palette = make_png_chunk(b"PLTE", bytes(range(3 * 2**depth)))
    return make_png(20, 20, line * 20, depth=depth, colour=colour, extra=palette)


def _make_combination_picture(depth: int) -> NDArray[np.uint8]:
    """Make the picture of a valid combination: the bits of numbers that increase from left to right."""
    if depth >= 8:
        return np.tile(np.arange(20, dtype=np.uint8), (20, 1))
    bits = np.unpackbits(np.arange(20 * depth // 8, dtype=np.uint8)).reshape(20, depth)
    return np.tile(bits @ (1 << np.arange(depth)[::-1]).astype(np.uint8), (20, 1))


def _make_palette(entries: int) -> bytes:
    return make_png_chunk(b"PLTE", b"".join(bytes([i % 256] * 3) for i in range(entries)))


def _make_negative_palette() -> bytes:
    """Make a PNG in which the indices and the palette are both negatives, so that it shows the picture."""
    lines = b"".join(b"\0" + row.tobytes() for row in 255 - _PICTURE)
    colours = make_png_chunk(b"PLTE", b"".join(bytes([255 - i] * 3) for i in range(256)))
    return make_png(_ROWS, _COLUMNS, lines, colour=3, extra=colours)


def list_png_cases() -> Iterator[tuple[str, HostileFile]]:
    """List hostile PNG files by name."""
    yield "gigabyte announced", expect_errors(lambda: _make_blank(32_768, 8, 0, line_bytes=1300), *TOO_LARGE)
    yield (
        "gigabyte interlaced",
        expect_errors(lambda: _make_blank(32_768, 8, 0, 1, line_bytes=1300), *TOO_LARGE),
    )
    yield "2^31 x 2^31", expect_errors(lambda: make_png(2**31 - 1, 2**31 - 1, b"\0" * 99), *TOO_LARGE)
    yield (
        "gigabyte behind a small header",
        expect_errors(
            lambda: _assemble(_encode_header(16, 16), make_png_chunk(b"IDAT", make_zlib_bomb(_GIGABYTE))),
            *ANY_ERROR,
        ),
    )
    yield "100 megapixels of nothing", expect_errors(lambda: _make_blank(9_999, 8, 0), *ANY_ERROR)
    yield (
        "100 megapixels of nothing, interlaced",
        expect_errors(lambda: _make_blank(9_999, 8, 0, 1), *ANY_ERROR),
    )
    yield (
        "100 megapixels of RGBA with 16 bits",
        expect_errors(lambda: _make_blank(9_999, 16, 6, line_bytes=79_992), *ANY_ERROR),
    )
    # Texts and profiles are compressed too, and the picture does not need them.
    for name in (b"zTXt", b"iTXt", b"iCCP"):
        yield f"bomb in {name.decode()}", expect_picture(lambda name=name: _make_text_bomb(name), _PICTURE)
    yield "20,000 empty IDAT", expect_either(lambda: _split_data(7), _PICTURE)
    for name in (b"IHDR", b"IDAT", b"IEND"):
        yield (
            f"checksum of {name.decode()} wrong",
            expect_errors(lambda name=name: _break_checksum(name), *DAMAGED),
        )
    yield "checksum of tEXt wrong", expect_picture(lambda: _break_checksum(b"tEXt"), _PICTURE)
    for twentieth in range(20):
        yield (
            f"cut at {twentieth}/20",
            expect_errors(lambda n=twentieth: _build_png()[: len(_build_png()) * n // 20], *DAMAGED),
        )
    for depth in (0, 1, 2, 3, 4, 8, 16, 32):
        for colour in range(8):
            case = expect_errors(lambda d=depth, c=colour: _make_combination(d, c), *DAMAGED)
            if _is_valid(depth, colour) and depth > 1:  # at depth 1 the line has fewer than 20 bits
                case = expect_picture(case.file, _make_combination_picture(depth), 0.9)
            yield f"depth {depth}, colour {colour}", case
    yield from _list_odd_pngs()


def _list_odd_pngs() -> Iterator[tuple[str, HostileFile]]:
    animation = make_png_chunk(b"acTL", b"\0\0\0\2\0\0\0\0")
    yield "animation", expect_errors(lambda: _build_png(animation), *REFUSED)
    yield "16 bits", expect_picture(lambda: encode_png(_PICTURE.astype(np.uint16) * 257), _PICTURE)
    yield (
        "RGB with 16 bits",
        expect_picture(lambda: encode_png(_make_colour().astype(np.uint16) * 257), _PICTURE),
    )
    yield (
        "alpha, opaque",
        expect_picture(
            lambda: encode_png(np.dstack([_make_colour(), np.full_like(_PICTURE, 255)])), _PICTURE, 0.97
        ),
    )
    yield (
        "alpha, transparent",
        expect_errors(lambda: encode_png(np.dstack([_make_colour(), np.zeros_like(_PICTURE)])), *REFUSED),
    )
    # Whoever takes the indices for greys shows the negative.
    yield "palette from white to black", expect_picture(_make_negative_palette, _PICTURE)
    yield "palette missing", expect_errors(lambda: _build_png(colour=3), *DAMAGED)
    yield "palette of 257", expect_errors(lambda: _build_png(_make_palette(257), colour=3), *ANY_ERROR)
    yield (
        "palette of 2 bytes",
        expect_errors(lambda: _build_png(make_png_chunk(b"PLTE", b"ab"), colour=3), *ANY_ERROR),
    )
    yield (
        "palette shorter than its indices",
        expect_picture(lambda: _build_png(_make_palette(9), colour=3), np.where(_PICTURE < 9, _PICTURE, 0)),
    )
    yield (
        "gamma and white point",
        expect_picture(
            lambda: _build_png(make_png_chunk(b"gAMA", b"\0\0\0\1") + make_png_chunk(b"cHRM", b"\0" * 32)),
            _PICTURE,
        ),
    )
    yield "gamma of -1", expect_picture(lambda: _build_png(make_png_chunk(b"gAMA", b"\xff" * 4)), _PICTURE)
    yield "significant bits", expect_picture(lambda: _build_png(make_png_chunk(b"sBIT", b"\1")), _PICTURE)
    yield (
        "unknown critical chunk",
        expect_either(lambda: _build_png(make_png_chunk(b"ABCD", b"x" * 99)), _PICTURE),
    )
    yield (
        "two headers",
        expect_either(lambda: _build_png(make_png_chunk(b"IHDR", _encode_header(9_999, 9_999))), _PICTURE),
    )
    yield (
        "header in the middle",
        expect_errors(
            lambda: _build_png()[:_START] + make_png_chunk(b"tEXt", b"a\0b") + _build_png()[_START:], *DAMAGED
        ),
    )
    yield "header of 12 bytes", expect_errors(lambda: _assemble(_encode_header(4, 4)[:12]), *DAMAGED)
    yield "no pixels", expect_errors(lambda: make_png(0, 0, b""), *DAMAGED)
    yield "no columns", expect_errors(lambda: make_png(7, 0, b"\0" * 7), *DAMAGED)
    yield "no IDAT", expect_errors(lambda: _assemble(_encode_header(4, 4)), *DAMAGED)
    yield "no IEND", expect_errors(lambda: _build_png()[:-12], *DAMAGED)
    yield (
        "IDAT of noise",
        expect_errors(
            lambda: _assemble(_encode_header(9, 9), make_png_chunk(b"IDAT", bytes(range(256)))), *DAMAGED
        ),
    )
    yield (
        "filter of 255",
        expect_errors(lambda: make_png(_ROWS, _COLUMNS, _LINES.replace(b"\0", b"\xff")), *ANY_ERROR),
    )
    yield (
        "half its lines",
        expect_errors(lambda: make_png(_ROWS, _COLUMNS, _LINES[: len(_LINES) // 2]), *DAMAGED),
    )
    yield (
        "a chunk of 4 GB",
        expect_errors(lambda: _build_png()[:_HEADER_END] + b"\xff\xff\xff\xffIDAT" + b"\0" * 99, *DAMAGED),
    )
    yield (
        "EXIF of noise",
        expect_picture(lambda: _build_png(make_png_chunk(b"eXIf", bytes(range(256)))), _PICTURE),
    )
    yield "a zip behind it", expect_picture(lambda: _build_png() + b"PK\3\4" + b"\0" * 99, _PICTURE)
    yield (
        "a script in a comment",
        expect_picture(
            lambda: _build_png(make_png_chunk(b"tEXt", b"Comment\0<?php system($_GET[0]); ?>")), _PICTURE
        ),
    )
