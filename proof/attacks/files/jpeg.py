"""Hostile JPEG files, each with its allowed outcomes."""

from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np

from proof.attacks.files.case import (
    ANY_ERROR,
    DAMAGED,
    TOO_LARGE,
    HostileFile,
    expect_either,
    expect_errors,
    expect_picture,
    rotate,
)
from proof.lab.files import DAMAGE, add_exif_orientation, change_coded_data, encode_jpeg
from proof.lab.pictures import make_picture

_PICTURE: Final = make_picture()


def _make_colour_picture() -> np.ndarray:
    return cv2.cvtColor(_PICTURE, cv2.COLOR_GRAY2BGR)


def _encode_segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def _insert_segments(*segments: bytes, colour: bool = False) -> bytes:
    file = encode_jpeg(_make_colour_picture() if colour else _PICTURE)
    return file[:2] + b"".join(segments) + file[2:]


def _change_frame(
    rows: int, columns: int, *, marker: int = 0xC0, precision: int = 8, components: int = 1
) -> bytes:
    file = bytearray(encode_jpeg(_PICTURE))
    at = file.index(b"\xff\xc0")
    file[at + 1], file[at + 4], file[at + 9] = marker, precision, components
    file[at + 5 : at + 9] = rows.to_bytes(2, "big") + columns.to_bytes(2, "big")
    return bytes(file)


def _repeat_last_scan(times: int) -> bytes:
    file = cv2.imencode(".jpg", _PICTURE, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    scan = file.rindex(b"\xff\xda")
    return file[:scan] + file[scan:-2] * times + file[-2:]


def _make_large_scans(times: int) -> bytes:
    """Make a progressive JPEG of 36 megapixels that repeats its last scan."""
    blank = np.zeros((6_000, 6_000), np.uint8)
    file = cv2.imencode(".jpg", blank, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    scan = file.rindex(b"\xff\xda")
    return file[:scan] + file[scan:-2] * times + file[-2:]


def _make_adobe_segment(transform: int) -> bytes:
    return _encode_segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))


def _change_sampling(factor: int) -> bytes:
    file = bytearray(encode_jpeg(_make_colour_picture()))
    at = file.index(b"\xff\xc0")
    file[at + 11] = factor
    return bytes(file)


def list_jpeg_cases() -> Iterator[tuple[str, HostileFile]]:
    """List hostile JPEG files by name."""
    yield "65,500 x 65,500", expect_errors(lambda: _change_frame(65_500, 65_500), *TOO_LARGE)
    yield "9,999 x 9,999 of nothing", expect_errors(lambda: _change_frame(9_999, 9_999), *ANY_ERROR)
    yield "no rows", expect_errors(lambda: _change_frame(0, 36), *DAMAGED)
    # Each scan of a progressive JPEG goes over the whole picture, so a small file can cost much time.
    yield "65,535 scans", expect_errors(lambda: _repeat_last_scan(65_535), *DAMAGED)
    yield "65 scans", expect_errors(lambda: _repeat_last_scan(65), *DAMAGED)
    yield "20 scans of 36 megapixels", expect_errors(lambda: _make_large_scans(20), *ANY_ERROR)
    yield (
        "restart interval of 65,535",
        expect_picture(lambda: _insert_segments(_encode_segment(0xDD, b"\xff\xff")), _PICTURE),
    )
    yield (
        "restart interval of 1, no restarts",
        expect_errors(lambda: _insert_segments(_encode_segment(0xDD, b"\0\1")), *DAMAGED),
    )
    for name, change in DAMAGE.items():
        yield (
            f"data with {name}",
            expect_errors(lambda c=change: change_coded_data(encode_jpeg(_PICTURE), c), *DAMAGED),
        )
    yield (
        "20,000 comments",
        expect_errors(lambda: _insert_segments(_encode_segment(0xFE, b"x") * 20_000), *DAMAGED),
    )
    yield (
        "5,000 profiles",
        expect_picture(lambda: _insert_segments(_encode_segment(0xE2, b"ICC_PROFILE\0") * 5_000), _PICTURE),
    )
    for marker in (0xC9, 0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7):
        yield f"frame {marker:X}", expect_errors(lambda m=marker: _change_frame(44, 36, marker=m), *ANY_ERROR)
    for precision in (0, 1, 7, 9, 12, 16, 255):
        yield (
            f"{precision} bits",
            expect_errors(lambda p=precision: _change_frame(44, 36, precision=p), *ANY_ERROR),
        )
    for components in (0, 2, 4, 5, 255):
        yield (
            f"{components} components",
            expect_errors(lambda c=components: _change_frame(44, 36, components=c), *DAMAGED),
        )
    for transform in (0, 1):
        yield (
            f"Adobe transform {transform}, grey",
            expect_picture(lambda t=transform: _insert_segments(_make_adobe_segment(t)), _PICTURE),
        )
    yield (
        "Adobe transform 1, colour",
        expect_picture(lambda: _insert_segments(_make_adobe_segment(1), colour=True), _PICTURE),
    )
    yield (
        "Adobe transform 255, colour",
        expect_picture(lambda: _insert_segments(_make_adobe_segment(255), colour=True), _PICTURE),
    )
    for twentieth in range(20):
        yield (
            f"cut at {twentieth}/20",
            expect_errors(
                lambda n=twentieth: encode_jpeg(_PICTURE)[: len(encode_jpeg(_PICTURE)) * n // 20], *DAMAGED
            ),
        )
    # A decoder that ignores the orientation shows the radiograph turned or mirrored.
    for orientation in range(1, 9):
        yield (
            f"EXIF orientation {orientation}",
            expect_picture(
                lambda o=orientation: add_exif_orientation(encode_jpeg(_PICTURE), o),
                rotate(orientation, _PICTURE),
            ),
        )
    for orientation in (0, 9, 65_535):
        yield (
            f"EXIF orientation {orientation}",
            expect_picture(lambda o=orientation: add_exif_orientation(encode_jpeg(_PICTURE), o), _PICTURE),
        )
    yield from _list_odd_jpegs()


def _list_odd_jpegs() -> Iterator[tuple[str, HostileFile]]:
    loop = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\1" + b"\x87\x69\0\4\0\0\0\1\0\0\0\x08" + b"\0\0\0\x08"
    yield (
        "EXIF that points at itself",
        expect_picture(lambda: _insert_segments(_encode_segment(0xE1, loop)), _PICTURE),
    )
    yield (
        "EXIF of noise",
        expect_picture(
            lambda: _insert_segments(_encode_segment(0xE1, b"Exif\0\0" + bytes(range(256)))), _PICTURE
        ),
    )
    yield (
        "EXIF of a billion entries",
        expect_picture(
            lambda: _insert_segments(_encode_segment(0xE1, b"Exif\0\0MM\0\x2a\0\0\0\x08\xff\xff")), _PICTURE
        ),
    )
    yield "a segment beyond the end", expect_errors(lambda: _insert_segments(b"\xff\xe1\xff\xff"), *DAMAGED)
    yield "a segment of length 1", expect_errors(lambda: _insert_segments(b"\xff\xe1\0\1"), *DAMAGED)
    yield ("a million fill bytes", expect_either(lambda: _insert_segments(b"\xff" * 10**6), _PICTURE))
    yield (
        "two frames",
        expect_errors(
            lambda: _insert_segments(_encode_segment(0xC0, b"\x08\0\x08\0\x08\1\1\x11\0")), *DAMAGED
        ),
    )
    yield (
        "a scan before the frame",
        expect_errors(lambda: _insert_segments(_encode_segment(0xDA, b"\1\1\0\0\x3f\0")), *DAMAGED),
    )
    yield (
        "no quantization",
        expect_errors(lambda: encode_jpeg(_PICTURE).replace(b"\xff\xdb", b"\xff\xfe"), *ANY_ERROR),
    )
    # without tables a decoder may use those of ITU-T T.81 annex K, which are the encoder's tables too
    yield (
        "no Huffman tables",
        expect_either(lambda: encode_jpeg(_PICTURE).replace(b"\xff\xc4", b"\xff\xfe"), _PICTURE),
    )
    for factor in (0x00, 0x44, 0xFF):
        yield f"sampling {factor:X}", expect_errors(lambda f=factor: _change_sampling(f), *DAMAGED)
    yield (
        "two files in one",
        expect_picture(lambda: encode_jpeg(_PICTURE) + encode_jpeg(255 - _PICTURE), _PICTURE),
    )
    yield "a zip behind it", expect_picture(lambda: encode_jpeg(_PICTURE) + b"PK\3\4" + b"\0" * 99, _PICTURE)
    yield (
        "a script in a comment",
        expect_picture(lambda: _insert_segments(_encode_segment(0xFE, b"<?php 1; ?>")), _PICTURE),
    )
