"""DICOM files that contradict themselves or were made to do harm, and odd ones that must be shown rightly."""

import io
import struct
from collections.abc import Iterator
from typing import Any, Final

import pydicom
from pydicom.dataset import Dataset

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
from proof.attacks.files.codecs import codec_cases
from proof.attacks.files.dicom_parts import DEEP, element, start_of_dataset, with_pixels
from proof.attacks.files.grayscale import grey_cases
from proof.attacks.files.transfer_syntaxes import syntax_cases
from proof.lab.files import make_dicom
from proof.lab.pictures import make_picture

_PICTURE: Final = make_picture()
_SEQUENCE: Final = b"\x08\x00\x05\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
_SEQUENCE_END: Final = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
_PIXEL_DATA: Final = b"\xe0\x7f\x10\x00"


def _before_dataset(extra: bytes, **elements: Any) -> bytes:
    file = with_pixels(**elements)
    return file[: start_of_dataset(file)] + extra + file[start_of_dataset(file) :]


def _before_pixels(extra: bytes) -> bytes:
    file = with_pixels()
    at = file.index(_PIXEL_DATA)
    return file[:at] + extra + file[at:]


def _pixel_length(length: int) -> bytes:
    file = bytearray(with_pixels())
    struct.pack_into("<I", file, file.index(_PIXEL_DATA) + 8, length)
    return bytes(file)


def size_cases() -> Iterator[tuple[str, HostileFile]]:
    """Sizes against lengths."""
    for name, elements in {
        "one row more": {"Rows": 45},
        "one row less": {"Rows": 43},
        "rows and columns swapped and one more": {"Rows": 36, "Columns": 45},
        "one column less": {"Columns": 35},
        "no rows": {"Rows": 0},
        "no columns": {"Columns": 0},
        "8 bits": {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7},
        "32 bits": {"BitsAllocated": 32},
        "1 bit": {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0},
        "12 bits allocated": {"BitsAllocated": 12},
        "more stored than allocated": {"BitsStored": 17},
        "65,535 stored": {"BitsStored": 65_535},
        "none stored": {"BitsStored": 0},
        "high bit below": {"HighBit": 3},
        "high bit above": {"HighBit": 16},
        "no representation": {"PixelRepresentation": None},
        "representation of 2": {"PixelRepresentation": 2},
        "3 samples": {"SamplesPerPixel": 3},
        "no samples": {"SamplesPerPixel": 0},
        "no rows element": {"Rows": None},
        "no photometric": {"PhotometricInterpretation": None},
        "pixel data gone": {"PixelData": None},
        "pixel data empty": {"PixelData": b""},
        "photometric of noise": {"PhotometricInterpretation": "MONOCHROME3"},
    }.items():
        yield name, fails(lambda e=elements: with_pixels(**e), *DAMAGED)
    yield "60,000 x 60,000", fails(lambda: with_pixels(Rows=60_000, Columns=60_000), *TOO_LARGE)
    for frames in (0, 2, 2**31 - 1, -1):
        errors = ANY_ERROR if frames else ()
        yield f"{frames} frames", HostileFile(lambda n=frames: with_pixels(NumberOfFrames=n), errors, DEEP)
    yield (
        "two frames with their pixels",
        fails(lambda: with_pixels(NumberOfFrames=2, PixelData=DEEP.tobytes() * 2), *REFUSED),
    )
    yield "two pictures, one announced", fails(lambda: with_pixels(PixelData=DEEP.tobytes() * 2), *DAMAGED)
    for length in (0, 2, 3166, 3167, 2**31, 0xFFFFFFFE):
        yield f"pixel data of length {length}", fails(lambda n=length: _pixel_length(n), *ANY_ERROR)
    yield "native pixels of undefined length", fails(lambda: _pixel_length(0xFFFFFFFF), *DAMAGED)
    for twentieth in range(20):
        yield (
            f"cut at {twentieth}/20",
            fails(lambda n=twentieth: with_pixels()[: len(with_pixels()) * n // 20], *DAMAGED),
        )


def structure_cases() -> Iterator[tuple[str, HostileFile]]:
    """Elements, sequences and lengths."""
    for depth in (100, 1_000, 10_000, 100_000):
        yield (
            f"{depth} sequences inside each other",
            shows_or_fails(lambda n=depth: _before_dataset(_SEQUENCE * n), DEEP),
        )
        yield (
            f"{depth} sequences inside each other, closed",
            shows_or_fails(
                lambda n=depth: _before_pixels(
                    _SEQUENCE.replace(b"\x05\x11", b"\x15\x11") * n + _SEQUENCE_END * n
                ),
                DEEP,
            ),
        )
    for name, tag in {"VOI LUT": b"\x28\x00\x10\x30", "modality LUT": b"\x28\x00\x00\x30"}.items():
        yield (
            f"10^5 sequences in the {name}",
            fails(lambda t=tag: _before_pixels((t + _SEQUENCE[4:]) * 100_000), *ANY_ERROR),
        )
    yield (
        "30,000 elements",
        fails(
            lambda: _before_dataset(b"".join(element(0x00090000 + i, b"SH", b"") for i in range(30_000))),
            *DAMAGED,
        ),
    )
    yield (
        "an element of 4 GB",
        fails(lambda: _before_dataset(element(0x00080000, b"OB", b"", 0xFFFFFFFE)), *DAMAGED),
    )
    yield "an unknown VR", shows_or_fails(lambda: _before_dataset(element(0x00080000, b"ZZ", b"ab")), DEEP)
    yield (
        "a UID of 60,000 bytes",
        shows(lambda: _before_dataset(element(0x00080000, b"UI", b"1." * 30_000)), DEEP),
    )
    yield (
        "private elements",
        shows(
            lambda: _before_dataset(
                element(0x00070010, b"LO", b"ACME") + element(0x00071001, b"UN", b"x" * 999)
            ),
            DEEP,
        ),
    )
    yield (
        "a group length that lies",
        shows(lambda: _before_dataset(element(0x00080000, b"UL", b"\xff\xff\xff\xff")), DEEP),
    )
    for length in (0, 1, 4, 2**31, 0xFFFFFFFF):
        yield (
            f"file meta information of length {length}",
            shows_or_fails(
                lambda n=length: with_pixels()[:140] + struct.pack("<I", n) + with_pixels()[144:], DEEP
            ),
        )
    yield (
        "pixel data twice, the second a negative",
        fails(lambda: with_pixels() + element(0x7FE00010, b"OW", (4095 - DEEP).tobytes()), *DAMAGED),
    )
    yield (
        "photometric twice, the second a negative",
        fails(lambda: _before_pixels(element(0x00280004, b"CS", b"MONOCHROME1 ")), *DAMAGED),
    )
    yield "float pixel data", fails(_of_floats, *DAMAGED)
    yield "an icon before the pixels", shows(lambda: _before_dataset(b"", IconImageSequence=[_icon()]), DEEP)
    yield "trailing padding", shows(lambda: with_pixels() + element(0xFFFCFFFC, b"OB", b"\0" * 999), DEEP)
    yield "a waveform file", fails(lambda: with_pixels(PixelData=None, Modality="ECG"), *DAMAGED)


def _icon() -> Dataset:
    """A negative of the picture, as an icon."""
    icon = pydicom.dcmread(io.BytesIO(make_dicom(255 - _PICTURE)))
    for tag in (0x00080016, 0x00080018, 0x00100010, 0x00100020):
        del icon[tag]
    return Dataset(icon)


def _of_floats() -> bytes:
    floats = DEEP.astype("<f4").tobytes()
    return _before_pixels(b"").replace(_before_pixels(b"")[_before_pixels(b"").index(_PIXEL_DATA) :], b"") + (
        element(0x7FE00008, b"OF", floats)
    )


DICOM: Final = {
    f"DICOM {kind}: {name}": case
    for kind, cases in {
        "size": size_cases,
        "structure": structure_cases,
        "syntax": syntax_cases,
        "codec": codec_cases,
        "grey": grey_cases,
    }.items()
    for name, case in cases()
}
