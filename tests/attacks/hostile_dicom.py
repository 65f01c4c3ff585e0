"""DICOM files that contradict themselves or were made to do harm, and odd ones that must be shown rightly."""

import io
import struct
from collections.abc import Callable, Iterator
from typing import Any, Final

import cv2
import numpy as np
import pydicom
from pydicom import uid
from pydicom.dataset import Dataset

from tests.attacks.bombs import deflated_zeros
from tests.attacks.cases import (
    ANY_ERROR,
    DAMAGED,
    REFUSED,
    TOO_LARGE,
    Case,
    fails,
    shows,
    shows_or_fails,
)
from tests.attacks.pictures import (
    COMPRESSED,
    NATIVE,
    around,
    compressed,
    deep_picture,
    dicom_of_jpeg,
    encapsulated,
    lut,
    picture,
)
from tests.transformer.files import dicom, jpeg

_PICTURE: Final = picture()
_DEEP: Final = deep_picture()
_TWELVE: Final[dict[str, Any]] = {"BitsStored": 12, "HighBit": 11}
_NEGATIVE: Final[dict[str, Any]] = {"PhotometricInterpretation": "MONOCHROME1"}
_SEQUENCE: Final = b"\x08\x00\x05\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
_SEQUENCE_END: Final = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
_PIXEL_DATA: Final = b"\xe0\x7f\x10\x00"


def _with_pixels(**elements: Any) -> bytes:
    return dicom(_DEEP, **(_TWELVE | elements))


def _start(file: bytes) -> int:
    """Where the data set begins."""
    return 144 + int(struct.unpack_from("<I", file, 140)[0])


def _before_dataset(extra: bytes, **elements: Any) -> bytes:
    file = _with_pixels(**elements)
    return file[: _start(file)] + extra + file[_start(file) :]


def _before_pixels(extra: bytes) -> bytes:
    file = _with_pixels()
    at = file.index(_PIXEL_DATA)
    return file[:at] + extra + file[at:]


def _element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    number = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    size = len(value) if length is None else length
    if vr in (b"OB", b"OW", b"UN", b"SQ", b"UT", b"OF", b"OD"):
        return number + vr + b"\0\0" + struct.pack("<I", size) + value
    return number + vr + struct.pack("<H", size) + value


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


def _pixel_length(length: int) -> bytes:
    file = bytearray(_with_pixels())
    struct.pack_into("<I", file, file.index(_PIXEL_DATA) + 8, length)
    return bytes(file)


def _deflated(body: bytes) -> bytes:
    file = dicom(_DEEP, syntax=uid.DeflatedExplicitVRLittleEndian, **_TWELVE)
    return file[: _start(file)] + body


def _items(*items: bytes) -> bytes:
    """Encapsulated pixel data of these fragments, the first being the basic offset table."""
    return b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<I", len(item)) + item for item in items) + (
        b"\xfe\xff\xdd\xe0\0\0\0\0"
    )


def _of_items(*items: bytes) -> bytes:
    return around(_items(*items), uid.JPEGBaseline8Bit, _PICTURE)


def _even(data: bytes) -> bytes:
    return data + b"\0" * (len(data) % 2)


def _rle(header: bytes, body: bytes = b"\0" * 200) -> bytes:
    return encapsulated(header.ljust(64, b"\0") + body, uid.RLELossless, _PICTURE)


def _j2k(change: Callable[[bytearray], None]) -> bytes:
    file = bytearray(compressed(dicom(_PICTURE), uid.JPEG2000Lossless))
    at = file.index(b"\xff\x4f\xff\x51")
    stream = bytearray(file[at:])
    change(stream)
    return bytes(file[:at] + stream)


def _announced(at: int, value: int) -> Callable[[bytearray], None]:
    def change(stream: bytearray) -> None:
        struct.pack_into(">I", stream, at, value)

    return change


def _jpegls(rows: int, columns: int, body: bytes) -> bytes:
    frame = b"\xff\xf7\0\x0b\x08" + struct.pack(">HH", rows, columns) + b"\1\1\x11\0"
    scan = b"\xff\xda\0\x08\1\1\0\0\0\0"
    return encapsulated(b"\xff\xd8" + frame + scan + body + b"\xff\xd9", uid.JPEGLSLossless, _PICTURE)


def size_cases() -> Iterator[tuple[str, Case]]:
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
        yield name, fails(lambda e=elements: _with_pixels(**e), *DAMAGED)
    yield "60,000 x 60,000", fails(lambda: _with_pixels(Rows=60_000, Columns=60_000), *TOO_LARGE)
    for frames in (0, 2, 2**31 - 1, -1):
        errors = ANY_ERROR if frames else ()
        yield f"{frames} frames", Case(lambda n=frames: _with_pixels(NumberOfFrames=n), errors, _DEEP)
    yield (
        "two frames with their pixels",
        fails(lambda: _with_pixels(NumberOfFrames=2, PixelData=_DEEP.tobytes() * 2), *REFUSED),
    )
    yield "two pictures, one announced", fails(lambda: _with_pixels(PixelData=_DEEP.tobytes() * 2), *DAMAGED)
    for length in (0, 2, 3166, 3167, 2**31, 0xFFFFFFFE):
        yield f"pixel data of length {length}", fails(lambda n=length: _pixel_length(n), *ANY_ERROR)
    yield "native pixels of undefined length", fails(lambda: _pixel_length(0xFFFFFFFF), *DAMAGED)
    for twentieth in range(20):
        yield (
            f"cut at {twentieth}/20",
            fails(lambda n=twentieth: _with_pixels()[: len(_with_pixels()) * n // 20], *DAMAGED),
        )


def structure_cases() -> Iterator[tuple[str, Case]]:
    """Elements, sequences and lengths."""
    for depth in (100, 1_000, 10_000, 100_000):
        yield (
            f"{depth} sequences inside each other",
            shows_or_fails(lambda n=depth: _before_dataset(_SEQUENCE * n), _DEEP),
        )
        yield (
            f"{depth} sequences inside each other, closed",
            shows_or_fails(
                lambda n=depth: _before_pixels(
                    _SEQUENCE.replace(b"\x05\x11", b"\x15\x11") * n + _SEQUENCE_END * n
                ),
                _DEEP,
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
            lambda: _before_dataset(b"".join(_element(0x00090000 + i, b"SH", b"") for i in range(30_000))),
            *DAMAGED,
        ),
    )
    yield (
        "an element of 4 GB",
        fails(lambda: _before_dataset(_element(0x00080000, b"OB", b"", 0xFFFFFFFE)), *DAMAGED),
    )
    yield "an unknown VR", shows_or_fails(lambda: _before_dataset(_element(0x00080000, b"ZZ", b"ab")), _DEEP)
    yield (
        "a UID of 60,000 bytes",
        shows(lambda: _before_dataset(_element(0x00080000, b"UI", b"1." * 30_000)), _DEEP),
    )
    yield (
        "private elements",
        shows(
            lambda: _before_dataset(
                _element(0x00070010, b"LO", b"ACME") + _element(0x00071001, b"UN", b"x" * 999)
            ),
            _DEEP,
        ),
    )
    yield (
        "a group length that lies",
        shows(lambda: _before_dataset(_element(0x00080000, b"UL", b"\xff\xff\xff\xff")), _DEEP),
    )
    for length in (0, 1, 4, 2**31, 0xFFFFFFFF):
        yield (
            f"file meta information of length {length}",
            shows_or_fails(
                lambda n=length: _with_pixels()[:140] + struct.pack("<I", n) + _with_pixels()[144:], _DEEP
            ),
        )
    yield (
        "pixel data twice, the second a negative",
        fails(lambda: _with_pixels() + _element(0x7FE00010, b"OW", (4095 - _DEEP).tobytes()), *DAMAGED),
    )
    yield (
        "photometric twice, the second a negative",
        fails(lambda: _before_pixels(_element(0x00280004, b"CS", b"MONOCHROME1 ")), *DAMAGED),
    )
    yield "float pixel data", fails(_of_floats, *DAMAGED)
    yield "an icon before the pixels", shows(lambda: _before_dataset(b"", IconImageSequence=[_icon()]), _DEEP)
    yield "trailing padding", shows(lambda: _with_pixels() + _element(0xFFFCFFFC, b"OB", b"\0" * 999), _DEEP)
    yield "a waveform file", fails(lambda: _with_pixels(PixelData=None, Modality="ECG"), *DAMAGED)


def _icon() -> Dataset:
    """A negative of the picture, as an icon."""
    icon = pydicom.dcmread(io.BytesIO(dicom(255 - _PICTURE)))
    for tag in (0x00080016, 0x00080018, 0x00100010, 0x00100020):
        del icon[tag]
    return Dataset(icon)


def _of_floats() -> bytes:
    floats = _DEEP.astype("<f4").tobytes()
    return _before_pixels(b"").replace(_before_pixels(b"")[_before_pixels(b"").index(_PIXEL_DATA) :], b"") + (
        _element(0x7FE00008, b"OF", floats)
    )


def syntax_cases() -> Iterator[tuple[str, Case]]:
    """Transfer syntaxes, named rightly and wrongly."""
    for syntax in NATIVE:
        name = uid.UID(syntax).name
        yield f"{name}, MONOCHROME2", shows(lambda s=syntax: _with_pixels(syntax=s), _DEEP)
        yield (
            f"{name}, MONOCHROME1",
            shows(lambda s=syntax: dicom(4095 - _DEEP, syntax=s, **_TWELVE, **_NEGATIVE), _DEEP),
        )
        yield (
            f"{name}, signed",
            shows(lambda s=syntax: dicom(_DEEP.astype(np.int16) - 2048, syntax=s, **_TWELVE), _DEEP),
        )
    for syntax in COMPRESSED:
        name = uid.UID(syntax).name
        yield f"{name}, MONOCHROME2", shows(lambda s=syntax: compressed(_with_pixels(), s), _DEEP)
        yield (
            f"{name}, MONOCHROME1",
            shows(lambda s=syntax: compressed(dicom(4095 - _DEEP, **_TWELVE, **_NEGATIVE), s), _DEEP),
        )
        yield (
            f"{name}, signed",
            shows(lambda s=syntax: compressed(dicom(_DEEP.astype(np.int16) - 2048), s), _DEEP),
        )
    yield "JPEG, MONOCHROME2", shows(lambda: dicom_of_jpeg(_PICTURE), _PICTURE)
    yield "JPEG, MONOCHROME1", shows(lambda: dicom_of_jpeg(255 - _PICTURE, **_NEGATIVE), _PICTURE)
    for other in (uid.JPEG2000, uid.RLELossless, uid.JPEGBaseline8Bit, uid.JPEGLSLossless, "1.2.3", "x" * 60):
        yield f"native named {other}", fails(lambda s=other: _named(s, _with_pixels()), *DAMAGED)
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
            lambda: _named(uid.ExplicitVRLittleEndian, _with_pixels(syntax=uid.ExplicitVRBigEndian)),
            *ANY_ERROR,
        ),
    )
    yield (
        "little endian named big",
        fails(lambda: _named(uid.ExplicitVRBigEndian, _with_pixels()), *ANY_ERROR),
    )
    yield (
        "explicit named implicit",
        shows_or_fails(lambda: _named(uid.ImplicitVRLittleEndian, _with_pixels()), _DEEP),
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
        fails(lambda: dicom(_DEEP, syntax=uid.DeflatedExplicitVRLittleEndian, **_TWELVE)[:-50], *DAMAGED),
    )


def codec_cases() -> Iterator[tuple[str, Case]]:
    """Encapsulation, and streams of each codec."""
    stream = _even(jpeg(_PICTURE))
    third = len(stream) // 6 * 2
    pieces = (stream[:third], stream[third : 2 * third], stream[2 * third :])
    yield "three fragments", shows(lambda: _of_items(b"", *pieces), _PICTURE)
    yield "offset table beyond the end", shows_or_fails(lambda: _of_items(b"\xff" * 4, stream), _PICTURE)
    yield "offset table that overlaps", shows_or_fails(lambda: _of_items(b"\0" * 8, stream), _PICTURE)
    yield "offset table of 3 bytes", shows_or_fails(lambda: _of_items(b"\0\0\0", stream), _PICTURE)
    yield "offset table of 100,000", shows_or_fails(lambda: _of_items(b"\0" * 400_000, stream), _PICTURE)
    yield "no fragment", fails(lambda: _of_items(b""), *DAMAGED)
    yield "an empty fragment", fails(lambda: _of_items(b"", b""), *DAMAGED)
    yield (
        "10,000 fragments of nothing",
        shows_or_fails(lambda: _of_items(b"", *[b""] * 10_000, stream), _PICTURE),
    )
    yield (
        "a fragment longer than the file",
        fails(
            lambda: around(
                b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0\xf0\xff\xff\x7f" + stream,
                uid.JPEGBaseline8Bit,
                _PICTURE,
            ),
            *DAMAGED,
        ),
    )
    yield (
        "no delimiter",
        shows_or_fails(lambda: around(_items(b"", stream)[:-8], uid.JPEGBaseline8Bit, _PICTURE), _PICTURE),
    )
    yield (
        "a JPEG of another size",
        fails(lambda: encapsulated(jpeg(picture(50, 40)), uid.JPEGBaseline8Bit, _PICTURE), *DAMAGED),
    )
    yield (
        "a JPEG in colour",
        fails(
            lambda: encapsulated(
                jpeg(cv2.cvtColor(_PICTURE, cv2.COLOR_GRAY2BGR)), uid.JPEGBaseline8Bit, _PICTURE
            ),
            *DAMAGED,
        ),
    )
    yield (
        "a JPEG cut short",
        fails(lambda: encapsulated(stream[: third * 2], uid.JPEGBaseline8Bit, _PICTURE), *DAMAGED),
    )
    yield from _rle_cases()
    for at, name in {8: "columns", 12: "rows", 16: "left", 24: "tile width", 28: "tile height"}.items():
        for value in (0, 1, 20, 2**31 - 1, 2**32 - 1):
            yield (
                f"JPEG 2000 with {name} {value}",
                shows_or_fails(lambda a=at, v=value: _j2k(_announced(a, v)), _PICTURE),
            )
    yield (
        "JPEG 2000 of 16,384 components",
        fails(lambda: _j2k(lambda s: struct.pack_into(">H", s, 40, 16_384)), *DAMAGED),
    )
    yield "JPEG 2000 of 38 bits", fails(lambda: _j2k(lambda s: s.__setitem__(42, 37)), *DAMAGED)
    yield (
        "JPEG 2000 of noise",
        fails(lambda: encapsulated(bytes(range(256)) * 3, uid.JPEG2000, _PICTURE), *DAMAGED),
    )
    for rows, columns in ((44, 36), (65_535, 65_535), (0, 0)):
        for body in (b"", b"\0" * 50_000, b"\xff\x7f" * 5_000):
            case = fails(lambda r=rows, c=columns, b=body: _jpegls(r, c, b), *DAMAGED)
            if rows == 44:  # the bits that are missing count as zeros: a picture of stripes, or a blank one
                case = Case(case.file, REFUSED, _PICTURE, -0.4)
            yield f"JPEG-LS of {rows} x {columns}, {body[:2]!r} x {len(body)}", case


def _rle_cases() -> Iterator[tuple[str, Case]]:
    for name, header in {
        "no segments": b"\0\0\0\0",
        "16 segments": b"\x10\0\0\0" + b"\x40\0\0\0" * 15,
        "segments of another number": b"\2\0\0\0\x40\0\0\0\x50\0\0\0",
        "a segment beyond the end": b"\1\0\0\0\xff\xff\xff\x7f",
        "a segment in the header": b"\1\0\0\0\4\0\0\0",
    }.items():
        yield f"RLE of {name}", fails(lambda h=header: _rle(h), *DAMAGED)
    yield (
        "RLE that unpacks too much",
        fails(lambda: _rle(b"\1\0\0\0\x40\0\0\0", b"\x81\xff" * 100_000), *REFUSED),
    )
    yield "RLE that unpacks too little", fails(lambda: _rle(b"\1\0\0\0\x40\0\0\0", b"\xff\0" * 9), *ANY_ERROR)


def grey_cases() -> Iterator[tuple[str, Case]]:
    """The grey scale."""
    for keyword in ("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth"):
        for value in ("NaN", "inf", "-inf", "1e308", "-1e308", "abc", "1\\2\\3", "1e-308", ""):
            elements = {
                "RescaleSlope": "1",
                "RescaleIntercept": "0",
                "WindowCenter": 2048,
                "WindowWidth": 4096,
            }
            yield (
                f"{keyword} of {value!r}",
                Case(lambda k=keyword, v=value, e=elements: _raw_number(k, v, e), ANY_ERROR, _DEEP, -0.4),
            )
    for slope in ("0", "-1"):
        errors = DAMAGED if slope == "0" else REFUSED
        yield f"a lone slope of {slope}", fails(lambda s=slope: _with_pixels(RescaleSlope=s), *errors)
    yield (
        "a negative slope",
        shows(lambda: dicom(4095 - _DEEP, RescaleSlope="-1", RescaleIntercept="4095", **_TWELVE), _DEEP),
    )
    for width in (0, -1, -4096):
        yield (
            f"a window {width} wide",
            shows(lambda w=width: _with_pixels(WindowCenter=2048, WindowWidth=w), _DEEP),
        )
    yield "a window of 1", shows(lambda: _with_pixels(WindowCenter=2048, WindowWidth=1), _DEEP, 0.6)
    for shape, errors in {"INVERSE": REFUSED, "NONSENSE": REFUSED}.items():
        yield f"MONOCHROME2, {shape}", fails(lambda s=shape: _with_pixels(PresentationLUTShape=s), *errors)
    yield (
        "MONOCHROME1, INVERSE",
        shows(lambda: dicom(4095 - _DEEP, PresentationLUTShape="INVERSE", **_TWELVE, **_NEGATIVE), _DEEP),
    )
    yield (
        "MONOCHROME1, IDENTITY",
        fails(lambda: dicom(4095 - _DEEP, PresentationLUTShape="IDENTITY", **_TWELVE, **_NEGATIVE), *REFUSED),
    )
    yield (
        "a VOI LUT that rises",
        shows(lambda: _with_pixels(VOILUTSequence=lut(range(0, 65_536, 16), 0)), _DEEP),
    )
    yield (
        "a modality LUT that falls",
        shows(lambda: dicom(4095 - _DEEP, ModalityLUTSequence=lut(range(4095, -1, -1), 0), **_TWELVE), _DEEP),
    )
    for name, change in {
        "shorter than it says": {"LUTData": [1, 2, 3]},
        "of 0 bits": {"LUTDescriptor": [4096, 0, 0]},
        "of 17 bits": {"LUTDescriptor": [4096, 0, 17]},
        "of two numbers": {"LUTDescriptor": [4096, 0]},
        "without data": {"LUTData": None},
        "without descriptor": {"LUTDescriptor": None},
    }.items():
        yield f"a VOI LUT {name}", fails(lambda c=change: _with_pixels(VOILUTSequence=_lut(c)), *DAMAGED)
    yield (
        "padding of the brightest",
        Case(lambda: _with_pixels(PixelPaddingValue=int(_DEEP.max())), ANY_ERROR, _DEEP, 0.5),
    )
    yield (
        "padding of everything",
        fails(lambda: _with_pixels(PixelPaddingValue=0, PixelPaddingRangeLimit=65_535), *REFUSED),
    )
    yield "palette", fails(lambda: _with_pixels(PhotometricInterpretation="PALETTE COLOR"), *ANY_ERROR)
    yield "an overlay in the unused bits", shows(lambda: dicom(_DEEP | np.uint16(0xA000), **_TWELVE), _DEEP)
    yield "12 bits that use 16", shows(lambda: dicom(_DEEP * 16, **_TWELVE), _DEEP * 16 & 0xFFF)
    yield "blank", fails(lambda: _with_pixels(PixelData=b"\0" * _DEEP.nbytes), *REFUSED)
    yield from _colour_cases()


def _colour_cases() -> Iterator[tuple[str, Case]]:
    colour = cv2.cvtColor(_PICTURE, cv2.COLOR_GRAY2RGB)
    planes = np.ascontiguousarray(colour.transpose(2, 0, 1)).tobytes()
    yield "RGB", shows(lambda: dicom(colour), _PICTURE)
    yield "RGB in planes", shows(lambda: dicom(colour, PlanarConfiguration=1, PixelData=planes), _PICTURE)
    for value in (None, 2, 65_535):
        yield (
            f"planar configuration of {value}",
            shows_or_fails(lambda v=value: dicom(colour, PlanarConfiguration=v), _PICTURE),
        )
    for photometric in ("YBR_FULL_422", "YBR_ICT", "YBR_PARTIAL_420", "CMYK", "ARGB", "MONOCHROME1"):
        yield (
            f"RGB named {photometric}",
            Case(lambda p=photometric: dicom(colour, PhotometricInterpretation=p), ANY_ERROR, _PICTURE, -0.4),
        )


def _raw_number(keyword: str, value: str, elements: dict[str, Any]) -> bytes:
    """A decimal string that pydicom would not write."""
    file = _with_pixels(**(elements | {keyword: "7"}))
    tag = pydicom.datadict.tag_for_keyword(keyword) or 0
    written = _element(tag, b"DS", b"7 ")
    assert file.count(written) == 1
    return file.replace(written, _element(tag, b"DS", _even_text(value)))


def _even_text(value: str) -> bytes:
    return value.encode() + b" " * (len(value) % 2)


def _lut(change: dict[str, Any]) -> list[Dataset]:
    sequence = lut(range(4096), 0)
    for keyword, value in change.items():
        if value is None:
            delattr(sequence[0], keyword)
        else:
            setattr(sequence[0], keyword, value)
            sequence[0][keyword].VR = "US"
    return sequence


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
