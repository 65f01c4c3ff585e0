"""DICOM files in each transfer syntax, named rightly and wrongly, and what must come of each."""

import struct
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from pydicom import uid

from proof.attacks.files.bombs import deflated_zeros
from proof.attacks.files.case import (
    ANY_ERROR,
    DAMAGED,
    TOO_LARGE,
    HostileFile,
    fails,
    shows,
    shows_or_fails,
)
from proof.attacks.files.dicom_parts import DEEP, TWELVE, start_of_dataset, with_pixels
from proof.lab.files import make_dicom
from proof.lab.pictures import (
    COMPRESSED,
    NATIVE,
    compress_dicom,
    dicom_of_jpeg,
    make_picture,
)

_PICTURE: Final = make_picture()
_NEGATIVE: Final[dict[str, Any]] = {"PhotometricInterpretation": "MONOCHROME1"}


def _named(syntax: str, file: bytes) -> bytes:
    """The file with the name of another transfer syntax."""
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


def _deflated(body: bytes) -> bytes:
    file = make_dicom(DEEP, syntax=uid.DeflatedExplicitVRLittleEndian, **TWELVE)
    return file[: start_of_dataset(file)] + body


def syntax_cases() -> Iterator[tuple[str, HostileFile]]:
    """Transfer syntaxes, named rightly and wrongly."""
    for syntax in NATIVE:
        name = uid.UID(syntax).name
        yield f"{name}, MONOCHROME2", shows(lambda s=syntax: with_pixels(syntax=s), DEEP)
        yield (
            f"{name}, MONOCHROME1",
            shows(lambda s=syntax: make_dicom(4095 - DEEP, syntax=s, **TWELVE, **_NEGATIVE), DEEP),
        )
        yield (
            f"{name}, signed",
            shows(lambda s=syntax: make_dicom(DEEP.astype(np.int16) - 2048, syntax=s, **TWELVE), DEEP),
        )
    for syntax in COMPRESSED:
        name = uid.UID(syntax).name
        yield f"{name}, MONOCHROME2", shows(lambda s=syntax: compress_dicom(with_pixels(), s), DEEP)
        yield (
            f"{name}, MONOCHROME1",
            shows(lambda s=syntax: compress_dicom(make_dicom(4095 - DEEP, **TWELVE, **_NEGATIVE), s), DEEP),
        )
        yield (
            f"{name}, signed",
            shows(lambda s=syntax: compress_dicom(make_dicom(DEEP.astype(np.int16) - 2048), s), DEEP),
        )
    yield "JPEG, MONOCHROME2", shows(lambda: dicom_of_jpeg(_PICTURE), _PICTURE)
    yield "JPEG, MONOCHROME1", shows(lambda: dicom_of_jpeg(255 - _PICTURE, **_NEGATIVE), _PICTURE)
    for other in (uid.JPEG2000, uid.RLELossless, uid.JPEGBaseline8Bit, uid.JPEGLSLossless, "1.2.3", "x" * 60):
        yield f"native named {other}", fails(lambda s=other: _named(s, with_pixels()), *DAMAGED)
    for other in (
        uid.ExplicitVRLittleEndian,
        uid.JPEG2000,
        uid.RLELossless,
        uid.JPEGLossless,
        uid.JPEGLSLossless,
    ):
        yield (
            f"a JPEG named {uid.UID(other).name}",
            fails(lambda s=other: _named(s, dicom_of_jpeg(_PICTURE)), *DAMAGED),
        )
    yield (
        "big endian named little",
        fails(
            lambda: _named(uid.ExplicitVRLittleEndian, with_pixels(syntax=uid.ExplicitVRBigEndian)),
            *ANY_ERROR,
        ),
    )
    yield (
        "little endian named big",
        fails(lambda: _named(uid.ExplicitVRBigEndian, with_pixels()), *ANY_ERROR),
    )
    yield (
        "explicit named implicit",
        shows_or_fails(lambda: _named(uid.ImplicitVRLittleEndian, with_pixels()), DEEP),
    )
    for video in (uid.MPEG2MPML, uid.HEVCMP51, uid.SMPTEST211020UncompressedProgressiveActiveVideo):
        yield (
            f"named {uid.UID(video).name}",
            fails(lambda s=video: _named(s, dicom_of_jpeg(_PICTURE)), *ANY_ERROR),
        )
    yield "deflated bomb", fails(lambda: _deflated(deflated_zeros(2**30)), *TOO_LARGE)
    yield "deflated noise", fails(lambda: _deflated(bytes(range(256)) * 9), *DAMAGED)
    yield "deflated nothing", fails(lambda: _deflated(b""), *DAMAGED)
    yield (
        "deflated, cut short",
        fails(lambda: make_dicom(DEEP, syntax=uid.DeflatedExplicitVRLittleEndian, **TWELVE)[:-50], *DAMAGED),
    )
