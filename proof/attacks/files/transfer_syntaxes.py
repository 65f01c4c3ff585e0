"""DICOM files that name the right or a wrong transfer syntax, each with its allowed outcomes."""

import struct
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from pydicom import uid

from proof.attacks.files.bombs import make_deflate_bomb
from proof.attacks.files.case import (
    ANY_ERROR,
    DAMAGED,
    TOO_LARGE,
    HostileFile,
    expect_either,
    expect_errors,
    expect_picture,
)
from proof.attacks.files.dicom_parts import DEEP_PICTURE, TWELVE_BITS, find_dataset, make_deep_dicom
from proof.lab.files import make_dicom
from proof.lab.pictures import COMPRESSED, NATIVE, compress_dicom, dicom_of_jpeg, make_picture

_PICTURE: Final = make_picture()
_NEGATIVE: Final[dict[str, Any]] = {"PhotometricInterpretation": "MONOCHROME1"}


def _rename_syntax(syntax: str, file: bytes) -> bytes:
    """Replace the transfer syntax that the file names."""
    at = file.index(b"\x02\x00\x10\x00UI")
    (length,) = struct.unpack_from("<H", file, at + 6)
    value = syntax.encode() + b"\0" * (len(syntax) % 2)
    grown = struct.pack("<I", struct.unpack_from("<I", file, 140)[0] + len(value) - length)
    return (
        file[:140]
        + grown
        + file[144 : at + 6]
        + struct.pack("<H", len(value))
        + value
        + file[at + 8 + length :]
    )


def _replace_deflated_data(body: bytes) -> bytes:
    file = make_dicom(DEEP_PICTURE, syntax=uid.DeflatedExplicitVRLittleEndian, **TWELVE_BITS)
    return file[: find_dataset(file)] + body


def list_syntax_cases() -> Iterator[tuple[str, HostileFile]]:
    """List files that name the right or a wrong transfer syntax."""
    for syntax in NATIVE:
        name = uid.UID(syntax).name
        yield f"{name}, MONOCHROME2", expect_picture(lambda s=syntax: make_deep_dicom(syntax=s), DEEP_PICTURE)
        yield (
            f"{name}, MONOCHROME1",
            expect_picture(
                lambda s=syntax: make_dicom(4095 - DEEP_PICTURE, syntax=s, **TWELVE_BITS, **_NEGATIVE),
                DEEP_PICTURE,
            ),
        )
        yield (
            f"{name}, signed",
            expect_picture(
                lambda s=syntax: make_dicom(DEEP_PICTURE.astype(np.int16) - 2048, syntax=s, **TWELVE_BITS),
                DEEP_PICTURE,
            ),
        )
    for syntax in COMPRESSED:
        name = uid.UID(syntax).name
        yield (
            f"{name}, MONOCHROME2",
            expect_picture(lambda s=syntax: compress_dicom(make_deep_dicom(), s), DEEP_PICTURE),
        )
        yield (
            f"{name}, MONOCHROME1",
            expect_picture(
                lambda s=syntax: compress_dicom(
                    make_dicom(4095 - DEEP_PICTURE, **TWELVE_BITS, **_NEGATIVE), s
                ),
                DEEP_PICTURE,
            ),
        )
        yield (
            f"{name}, signed",
            expect_picture(
                lambda s=syntax: compress_dicom(make_dicom(DEEP_PICTURE.astype(np.int16) - 2048), s),
                DEEP_PICTURE,
            ),
        )
    yield "JPEG, MONOCHROME2", expect_picture(lambda: dicom_of_jpeg(_PICTURE), _PICTURE)
    yield "JPEG, MONOCHROME1", expect_picture(lambda: dicom_of_jpeg(255 - _PICTURE, **_NEGATIVE), _PICTURE)
    for other in (uid.JPEG2000, uid.RLELossless, uid.JPEGBaseline8Bit, uid.JPEGLSLossless, "1.2.3", "x" * 60):
        yield (
            f"native named {other}",
            expect_errors(lambda s=other: _rename_syntax(s, make_deep_dicom()), *DAMAGED),
        )
    for other in (
        uid.ExplicitVRLittleEndian,
        uid.JPEG2000,
        uid.RLELossless,
        uid.JPEGLossless,
        uid.JPEGLSLossless,
    ):
        yield (
            f"a JPEG named {uid.UID(other).name}",
            expect_errors(lambda s=other: _rename_syntax(s, dicom_of_jpeg(_PICTURE)), *DAMAGED),
        )
    yield (
        "big endian named little",
        expect_errors(
            lambda: _rename_syntax(
                uid.ExplicitVRLittleEndian, make_deep_dicom(syntax=uid.ExplicitVRBigEndian)
            ),
            *ANY_ERROR,
        ),
    )
    yield (
        "little endian named big",
        expect_errors(lambda: _rename_syntax(uid.ExplicitVRBigEndian, make_deep_dicom()), *ANY_ERROR),
    )
    yield (
        "explicit named implicit",
        expect_either(lambda: _rename_syntax(uid.ImplicitVRLittleEndian, make_deep_dicom()), DEEP_PICTURE),
    )
    for video in (uid.MPEG2MPML, uid.HEVCMP51, uid.SMPTEST211020UncompressedProgressiveActiveVideo):
        yield (
            f"named {uid.UID(video).name}",
            expect_errors(lambda s=video: _rename_syntax(s, dicom_of_jpeg(_PICTURE)), *ANY_ERROR),
        )
    # The whole data set is deflated, so the sizes in it are known only after unpacking.
    yield "deflated bomb", expect_errors(lambda: _replace_deflated_data(make_deflate_bomb(2**30)), *TOO_LARGE)
    yield "deflated noise", expect_errors(lambda: _replace_deflated_data(bytes(range(256)) * 9), *DAMAGED)
    yield "deflated nothing", expect_errors(lambda: _replace_deflated_data(b""), *DAMAGED)
    yield (
        "deflated, cut short",
        expect_errors(
            lambda: make_dicom(DEEP_PICTURE, syntax=uid.DeflatedExplicitVRLittleEndian, **TWELVE_BITS)[:-50],
            *DAMAGED,
        ),
    )
