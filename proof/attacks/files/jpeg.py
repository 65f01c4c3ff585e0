"""JPEG files made to do harm, and what must come of each."""

from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np

from proof.attacks.files.case import (
    ANY_ERROR,
    DAMAGED,
    TOO_LARGE,
    HostileFile,
    fails,
    rotated,
    shows,
    shows_or_fails,
)
from proof.lab.files import DAMAGE, add_exif_orientation, change_coded_data, encode_jpeg
from proof.lab.pictures import make_picture

_PICTURE: Final = make_picture()


def _colour() -> np.ndarray:
    return cv2.cvtColor(_PICTURE, cv2.COLOR_GRAY2BGR)


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def _before_frame(*segments: bytes, colour: bool = False) -> bytes:
    file = encode_jpeg(_colour() if colour else _PICTURE)
    return file[:2] + b"".join(segments) + file[2:]


def _announcing(
    rows: int, columns: int, *, marker: int = 0xC0, precision: int = 8, components: int = 1
) -> bytes:
    file = bytearray(encode_jpeg(_PICTURE))
    at = file.index(b"\xff\xc0")
    file[at + 1], file[at + 4], file[at + 9] = marker, precision, components
    file[at + 5 : at + 9] = rows.to_bytes(2, "big") + columns.to_bytes(2, "big")
    return bytes(file)


def _scans(times: int) -> bytes:
    file = cv2.imencode(".jpg", _PICTURE, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    scan = file.rindex(b"\xff\xda")
    return file[:scan] + file[scan:-2] * times + file[-2:]


def _large_scans(times: int) -> bytes:
    """Progressive, of many megapixels and as many scans as are let through."""
    blank = np.zeros((6_000, 6_000), np.uint8)
    file = cv2.imencode(".jpg", blank, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    scan = file.rindex(b"\xff\xda")
    return file[:scan] + file[scan:-2] * times + file[-2:]


def _adobe(transform: int) -> bytes:
    return _segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))


def _sampled(factor: int) -> bytes:
    file = bytearray(encode_jpeg(_colour()))
    at = file.index(b"\xff\xc0")
    file[at + 11] = factor
    return bytes(file)


def jpeg_cases() -> Iterator[tuple[str, HostileFile]]:
    """By name."""
    yield "65,500 x 65,500", fails(lambda: _announcing(65_500, 65_500), *TOO_LARGE)
    yield "9,999 x 9,999 of nothing", fails(lambda: _announcing(9_999, 9_999), *ANY_ERROR)
    yield "no rows", fails(lambda: _announcing(0, 36), *DAMAGED)
    yield "65,535 scans", fails(lambda: _scans(65_535), *DAMAGED)
    yield "65 scans", fails(lambda: _scans(65), *DAMAGED)
    yield "20 scans of 36 megapixels", fails(lambda: _large_scans(20), *ANY_ERROR)
    yield "restart interval of 65,535", shows(lambda: _before_frame(_segment(0xDD, b"\xff\xff")), _PICTURE)
    yield (
        "restart interval of 1, no restarts",
        fails(lambda: _before_frame(_segment(0xDD, b"\0\1")), *DAMAGED),
    )
    for name, change in DAMAGE.items():
        yield (
            f"data with {name}",
            fails(lambda c=change: change_coded_data(encode_jpeg(_PICTURE), c), *DAMAGED),
        )
    yield "20,000 comments", fails(lambda: _before_frame(_segment(0xFE, b"x") * 20_000), *DAMAGED)
    yield "5,000 profiles", shows(lambda: _before_frame(_segment(0xE2, b"ICC_PROFILE\0") * 5_000), _PICTURE)
    for marker in (0xC9, 0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7):
        yield f"frame {marker:X}", fails(lambda m=marker: _announcing(44, 36, marker=m), *ANY_ERROR)
    for precision in (0, 1, 7, 9, 12, 16, 255):
        yield f"{precision} bits", fails(lambda p=precision: _announcing(44, 36, precision=p), *ANY_ERROR)
    for components in (0, 2, 4, 5, 255):
        yield (
            f"{components} components",
            fails(lambda c=components: _announcing(44, 36, components=c), *DAMAGED),
        )
    for transform in (0, 1):
        yield (
            f"Adobe transform {transform}, grey",
            shows(lambda t=transform: _before_frame(_adobe(t)), _PICTURE),
        )
    yield "Adobe transform 1, colour", shows(lambda: _before_frame(_adobe(1), colour=True), _PICTURE)
    yield "Adobe transform 255, colour", shows(lambda: _before_frame(_adobe(255), colour=True), _PICTURE)
    for twentieth in range(20):
        yield (
            f"cut at {twentieth}/20",
            fails(
                lambda n=twentieth: encode_jpeg(_PICTURE)[: len(encode_jpeg(_PICTURE)) * n // 20], *DAMAGED
            ),
        )
    for orientation in range(1, 9):
        yield (
            f"EXIF orientation {orientation}",
            shows(
                lambda o=orientation: add_exif_orientation(encode_jpeg(_PICTURE), o),
                rotated(orientation, _PICTURE),
            ),
        )
    for orientation in (0, 9, 65_535):
        yield (
            f"EXIF orientation {orientation}",
            shows(lambda o=orientation: add_exif_orientation(encode_jpeg(_PICTURE), o), _PICTURE),
        )
    yield from _jpeg_oddities()


def _jpeg_oddities() -> Iterator[tuple[str, HostileFile]]:
    loop = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\1" + b"\x87\x69\0\4\0\0\0\1\0\0\0\x08" + b"\0\0\0\x08"
    yield "EXIF that points at itself", shows(lambda: _before_frame(_segment(0xE1, loop)), _PICTURE)
    yield (
        "EXIF of noise",
        shows(lambda: _before_frame(_segment(0xE1, b"Exif\0\0" + bytes(range(256)))), _PICTURE),
    )
    yield (
        "EXIF of a billion entries",
        shows(lambda: _before_frame(_segment(0xE1, b"Exif\0\0MM\0\x2a\0\0\0\x08\xff\xff")), _PICTURE),
    )
    yield "a segment beyond the end", fails(lambda: _before_frame(b"\xff\xe1\xff\xff"), *DAMAGED)
    yield "a segment of length 1", fails(lambda: _before_frame(b"\xff\xe1\0\1"), *DAMAGED)
    yield "a million fill bytes", shows_or_fails(lambda: _before_frame(b"\xff" * 10**6), _PICTURE)
    yield "two frames", fails(lambda: _before_frame(_segment(0xC0, b"\x08\0\x08\0\x08\1\1\x11\0")), *DAMAGED)
    yield "a scan before the frame", fails(lambda: _before_frame(_segment(0xDA, b"\1\1\0\0\x3f\0")), *DAMAGED)
    yield (
        "no quantization",
        fails(lambda: encode_jpeg(_PICTURE).replace(b"\xff\xdb", b"\xff\xfe"), *ANY_ERROR),
    )
    # the tables of ITU-T T.81 annex K are meant where none stand, and the encoder's are these
    yield (
        "no Huffman tables",
        shows_or_fails(lambda: encode_jpeg(_PICTURE).replace(b"\xff\xc4", b"\xff\xfe"), _PICTURE),
    )
    for factor in (0x00, 0x44, 0xFF):
        yield f"sampling {factor:X}", fails(lambda f=factor: _sampled(f), *DAMAGED)
    yield "two files in one", shows(lambda: encode_jpeg(_PICTURE) + encode_jpeg(255 - _PICTURE), _PICTURE)
    yield "a zip behind it", shows(lambda: encode_jpeg(_PICTURE) + b"PK\3\4" + b"\0" * 99, _PICTURE)
    yield "a script in a comment", shows(lambda: _before_frame(_segment(0xFE, b"<?php 1; ?>")), _PICTURE)
