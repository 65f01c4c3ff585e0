"""DICOM files that contradict themselves or are hostile, and unusual ones that must be shown correctly."""

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
    expect_either,
    expect_errors,
    expect_picture,
)
from proof.attacks.files.codecs import list_codec_cases
from proof.attacks.files.dicom_parts import DEEP_PICTURE, encode_element, find_dataset, make_deep_dicom
from proof.attacks.files.grayscale import list_grayscale_cases
from proof.attacks.files.transfer_syntaxes import list_syntax_cases
from proof.lab.files import make_dicom
from proof.lab.pictures import make_picture

_PICTURE: Final = make_picture()
_SEQUENCE: Final = b"\x08\x00\x05\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
_SEQUENCE_END: Final = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
_PIXEL_DATA: Final = b"\xe0\x7f\x10\x00"


def _insert_before_dataset(extra: bytes, **elements: Any) -> bytes:
    file = make_deep_dicom(**elements)
    return file[: find_dataset(file)] + extra + file[find_dataset(file) :]


def _insert_before_pixels(extra: bytes) -> bytes:
    file = make_deep_dicom()
    at = file.index(_PIXEL_DATA)
    return file[:at] + extra + file[at:]


def _set_pixel_length(length: int) -> bytes:
    file = bytearray(make_deep_dicom())
    struct.pack_into("<I", file, file.index(_PIXEL_DATA) + 8, length)
    return bytes(file)


def list_size_cases() -> Iterator[tuple[str, HostileFile]]:
    """List files whose sizes and lengths disagree."""
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
        yield name, expect_errors(lambda e=elements: make_deep_dicom(**e), *DAMAGED)
    yield "60,000 x 60,000", expect_errors(lambda: make_deep_dicom(Rows=60_000, Columns=60_000), *TOO_LARGE)
    for frames in (0, 2, 2**31 - 1, -1):
        errors = ANY_ERROR if frames else ()
        yield (
            f"{frames} frames",
            HostileFile(lambda n=frames: make_deep_dicom(NumberOfFrames=n), errors, DEEP_PICTURE),
        )
    yield (
        "two frames with their pixels",
        expect_errors(
            lambda: make_deep_dicom(NumberOfFrames=2, PixelData=DEEP_PICTURE.tobytes() * 2), *REFUSED
        ),
    )
    yield (
        "two pictures, one announced",
        expect_errors(lambda: make_deep_dicom(PixelData=DEEP_PICTURE.tobytes() * 2), *DAMAGED),
    )
    for length in (0, 2, 3166, 3167, 2**31, 0xFFFFFFFE):
        yield (
            f"pixel data of length {length}",
            expect_errors(lambda n=length: _set_pixel_length(n), *ANY_ERROR),
        )
    yield "native pixels of undefined length", expect_errors(lambda: _set_pixel_length(0xFFFFFFFF), *DAMAGED)
    for twentieth in range(20):
        yield (
            f"cut at {twentieth}/20",
            expect_errors(
                lambda n=twentieth: make_deep_dicom()[: len(make_deep_dicom()) * n // 20], *DAMAGED
            ),
        )


def list_structure_cases() -> Iterator[tuple[str, HostileFile]]:
    """List files with hostile elements, sequences and lengths."""
    # pydicom reads sequences by recursion.
    for depth in (100, 1_000, 10_000, 100_000):
        yield (
            f"{depth} sequences inside each other",
            expect_either(lambda n=depth: _insert_before_dataset(_SEQUENCE * n), DEEP_PICTURE),
        )
        yield (
            f"{depth} sequences inside each other, closed",
            expect_either(
                lambda n=depth: _insert_before_pixels(
                    _SEQUENCE.replace(b"\x05\x11", b"\x15\x11") * n + _SEQUENCE_END * n
                ),
                DEEP_PICTURE,
            ),
        )
    for name, tag in {"VOI LUT": b"\x28\x00\x10\x30", "modality LUT": b"\x28\x00\x00\x30"}.items():
        yield (
            f"10^5 sequences in the {name}",
            expect_errors(lambda t=tag: _insert_before_pixels((t + _SEQUENCE[4:]) * 100_000), *ANY_ERROR),
        )
    yield (
        "30,000 elements",
        expect_errors(
            lambda: _insert_before_dataset(
                b"".join(encode_element(0x00090000 + i, b"SH", b"") for i in range(30_000))
            ),
            *DAMAGED,
        ),
    )
    yield (
        "an element of 4 GB",
        expect_errors(
            lambda: _insert_before_dataset(encode_element(0x00080000, b"OB", b"", 0xFFFFFFFE)), *DAMAGED
        ),
    )
    yield (
        "an unknown VR",
        expect_either(lambda: _insert_before_dataset(encode_element(0x00080000, b"ZZ", b"ab")), DEEP_PICTURE),
    )
    yield (
        "a UID of 60,000 bytes",
        expect_picture(
            lambda: _insert_before_dataset(encode_element(0x00080000, b"UI", b"1." * 30_000)), DEEP_PICTURE
        ),
    )
    yield (
        "private elements",
        expect_picture(
            lambda: _insert_before_dataset(
                encode_element(0x00070010, b"LO", b"ACME") + encode_element(0x00071001, b"UN", b"x" * 999)
            ),
            DEEP_PICTURE,
        ),
    )
    yield (
        # Group lengths are retired (PS3.5 section 7.2), so nobody may rely on them.
        "a group length that lies",
        expect_picture(
            lambda: _insert_before_dataset(encode_element(0x00080000, b"UL", b"\xff\xff\xff\xff")),
            DEEP_PICTURE,
        ),
    )
    for length in (0, 1, 4, 2**31, 0xFFFFFFFF):
        yield (
            f"file meta information of length {length}",
            expect_either(
                lambda n=length: make_deep_dicom()[:140] + struct.pack("<I", n) + make_deep_dicom()[144:],
                DEEP_PICTURE,
            ),
        )
    yield (
        # docs/decisions/0037: the second one once replaced the first.
        "pixel data twice, the second a negative",
        expect_errors(
            lambda: make_deep_dicom() + encode_element(0x7FE00010, b"OW", (4095 - DEEP_PICTURE).tobytes()),
            *DAMAGED,
        ),
    )
    yield (
        "photometric twice, the second a negative",
        expect_errors(
            lambda: _insert_before_pixels(encode_element(0x00280004, b"CS", b"MONOCHROME1 ")), *DAMAGED
        ),
    )
    yield "float pixel data", expect_errors(_make_float_pixels, *DAMAGED)
    yield (
        # The icon is a negative: a reader that takes its pixels shows an inverted radiograph.
        "an icon before the pixels",
        expect_picture(lambda: _insert_before_dataset(b"", IconImageSequence=[_make_icon()]), DEEP_PICTURE),
    )
    yield (
        # PS3.10 section 7.2 allows it.
        "trailing padding",
        expect_picture(
            lambda: make_deep_dicom() + encode_element(0xFFFCFFFC, b"OB", b"\0" * 999), DEEP_PICTURE
        ),
    )
    yield "a waveform file", expect_errors(lambda: make_deep_dicom(PixelData=None, Modality="ECG"), *REFUSED)


def _make_icon() -> Dataset:
    """Make an icon that is the negative of the picture."""
    icon = pydicom.dcmread(io.BytesIO(make_dicom(255 - _PICTURE)))
    for tag in (0x00080016, 0x00080018, 0x00100010, 0x00100020):
        del icon[tag]
    return Dataset(icon)


def _make_float_pixels() -> bytes:
    floats = DEEP_PICTURE.astype("<f4").tobytes()
    return _insert_before_pixels(b"").replace(
        _insert_before_pixels(b"")[_insert_before_pixels(b"").index(_PIXEL_DATA) :], b""
    ) + (encode_element(0x7FE00008, b"OF", floats))


DICOM: Final = {
    f"DICOM {kind}: {name}": case
    for kind, cases in {
        "size": list_size_cases,
        "structure": list_structure_cases,
        "syntax": list_syntax_cases,
        "codec": list_codec_cases,
        "grey": list_grayscale_cases,
    }.items()
    for name, case in cases()
}
