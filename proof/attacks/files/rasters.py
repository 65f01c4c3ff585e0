"""Hostile PNG, JPEG and other files, and harmless files that look hostile."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import cv2

from proof.attacks.files.case import DAMAGED, HostileFile, expect_errors, expect_picture
from proof.attacks.files.jpeg import list_jpeg_cases
from proof.attacks.files.png import list_png_cases
from proof.lab.files import encode_jpeg, encode_png, make_dicom
from proof.lab.pictures import make_picture

_PICTURE: Final = make_picture()

# OpenCV would decode several of these. Only the formats that the service names may reach it.
_OTHERS: Final[Mapping[str, Callable[..., bytes]]] = {
    "nothing": lambda: b"",
    "one byte": lambda: b"\x89",
    "GIF": lambda: b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\4\0\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;",
    "BMP": lambda: cv2.imencode(".bmp", _PICTURE)[1].tobytes(),
    "TIFF": lambda: cv2.imencode(".tiff", _PICTURE)[1].tobytes(),
    "TIFF, big endian": lambda: b"MM\0\x2a\0\0\0\x08" + b"\0" * 200,
    "WebP": lambda: cv2.imencode(".webp", _PICTURE)[1].tobytes(),
    "PGM": lambda: cv2.imencode(".pgm", _PICTURE)[1].tobytes(),
    "JPEG 2000": lambda: cv2.imencode(".jp2", _PICTURE)[1].tobytes(),
    "Sun raster": lambda: b"\x59\xa6\x6a\x95" + b"\0" * 200,
    "Radiance": lambda: b"#?RADIANCE\n" + b"\0" * 200,
    "OpenEXR": lambda: b"\x76\x2f\x31\x01" + b"\0" * 200,
    "AVIF": lambda: b"\0\0\0\x1cftypavif" + b"\0" * 200,
    "PSD": lambda: b"8BPS\0\1" + b"\0" * 200,
    "PDF": lambda: b"%PDF-1.7\n" + b"%" * 500,
    "SVG": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "XML that grows": lambda: b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>' * 9,
    "HTML": lambda: b"<html><script>alert(1)</script>" * 9,
    "zip": lambda: b"PK\3\4" + b"\0" * 500,
    "gzip": lambda: b"\x1f\x8b\x08" + b"\0" * 500,
    "ELF": lambda: b"\x7fELF\2\1\1" + b"\0" * 500,
    "Windows program": lambda: b"MZ" + b"\0" * 500,
    "pickle": lambda: b"\x80\4cos\nsystem\n(S'true'\ntR.",
    "NumPy": lambda: b"\x93NUMPY\1\0v\0{'descr': '|O'}" + b" " * 200,
    "GIF with a JPEG in it": lambda: b"GIF89a" + encode_jpeg(_PICTURE),
    "a JPEG one byte late": lambda: b"\0" + encode_jpeg(_PICTURE),
    "a PNG in text mode": lambda: encode_png(_PICTURE).replace(b"\r\n", b"\n"),
}


def list_other_cases() -> Iterator[tuple[str, HostileFile]]:
    """List other kinds of files, and files that are of two kinds, by name."""
    for name, file in _OTHERS.items():
        yield name, expect_errors(file, *DAMAGED)
    for name, start in {
        "ELF": b"\x7fELF",
        "Windows program": b"MZ",
        "PDF": b"%PDF-1.7",
        "zip": b"PK\3\4",
    }.items():
        yield (
            # The preamble may hold anything (PS3.10 section 7.1), a program too (CVE-2019-11687).
            f"DICOM with the preamble of {name}",
            expect_picture(lambda s=start: s.ljust(128, b"\x90") + make_dicom(_PICTURE)[128:], _PICTURE),
        )
    yield (
        "DICOM with the preamble of a JPEG",
        expect_picture(lambda: encode_jpeg(255 - _PICTURE)[:128] + make_dicom(_PICTURE)[128:], _PICTURE),
    )


RASTERS: Final = {
    f"{kind}: {name}": case
    for kind, cases in {"PNG": list_png_cases, "JPEG": list_jpeg_cases, "other": list_other_cases}.items()
    for name, case in cases()
}
