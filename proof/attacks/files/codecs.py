"""DICOM files whose compressed pixels were made to do harm, and what must come of each."""

import struct
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import product
from typing import Final

import cv2
from pydicom import uid

from proof.attacks.files.case import (
    ANY_ERROR,
    DAMAGED,
    HostileFile,
    fails,
    shows,
    shows_or_fails,
)
from proof.lab.files import DAMAGE, change_coded_data, encode_jpeg, encode_jpeg_lossless, make_dicom
from proof.lab.pictures import (
    compress_dicom,
    encapsulate_pixel_data,
    encapsulate_stream,
    make_deep_picture,
    make_picture,
    read_stream,
)

_PICTURE: Final = make_picture()


_JPEG_STREAMS: Final[Mapping[str, tuple[str, Callable[[], bytes]]]] = {
    "JPEG": (uid.JPEGBaseline8Bit, lambda: encode_jpeg(_PICTURE)),
    "JPEG without loss": (uid.JPEGLosslessSV1, lambda: encode_jpeg_lossless(_PICTURE, 8)),
    "JPEG-LS": (
        uid.JPEGLSLossless,
        lambda: read_stream(compress_dicom(make_dicom(_PICTURE), uid.JPEGLSLossless)),
    ),
}


def _items(*items: bytes) -> bytes:
    """Encapsulated pixel data of these fragments, the first being the basic offset table."""
    return b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<I", len(item)) + item for item in items) + (
        b"\xfe\xff\xdd\xe0\0\0\0\0"
    )


def _of_items(*items: bytes) -> bytes:
    return encapsulate_pixel_data(_items(*items), uid.JPEGBaseline8Bit, _PICTURE)


def _even(data: bytes) -> bytes:
    return data + b"\0" * (len(data) % 2)


def _rle(header: bytes, body: bytes = b"\0" * 200) -> bytes:
    return encapsulate_stream(header.ljust(64, b"\0") + body, uid.RLELossless, _PICTURE)


def _rle_with(more: bytes) -> bytes:
    """A picture with more coded bytes behind its own, as some encoders leave them."""
    stream = read_stream(compress_dicom(make_dicom(_PICTURE), uid.RLELossless))
    return encapsulate_stream(stream + more, uid.RLELossless, _PICTURE)


def _rle_with_loss() -> bytes:
    """What is left unpacks to more than the picture."""
    stream = read_stream(compress_dicom(make_dicom(_PICTURE), uid.RLELossless))
    return encapsulate_stream(stream[:400] + stream[401:], uid.RLELossless, _PICTURE)


def _rle_of_two() -> bytes:
    """The second segment has more bytes than the picture; pylibjpeg-rle panics where it writes them."""
    pixels = make_deep_picture()
    zeros = b"\x81\0" * (pixels.size // 128)
    header = struct.pack("<3I", 2, 64, 64 + len(zeros)).ljust(64, b"\0")
    return encapsulate_stream(header + zeros + zeros + b"\x81\0" * 9, uid.RLELossless, pixels)


def _j2k(change: Callable[[bytearray], None]) -> bytes:
    file = bytearray(compress_dicom(make_dicom(_PICTURE), uid.JPEG2000Lossless))
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
    return encapsulate_stream(b"\xff\xd8" + frame + scan + body + b"\xff\xd9", uid.JPEGLSLossless, _PICTURE)


def codec_cases() -> Iterator[tuple[str, HostileFile]]:
    """Encapsulation, and streams of each codec."""
    stream = _even(encode_jpeg(_PICTURE))
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
            lambda: encapsulate_pixel_data(
                b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0\xf0\xff\xff\x7f" + stream,
                uid.JPEGBaseline8Bit,
                _PICTURE,
            ),
            *DAMAGED,
        ),
    )
    yield (
        "no delimiter",
        shows_or_fails(
            lambda: encapsulate_pixel_data(_items(b"", stream)[:-8], uid.JPEGBaseline8Bit, _PICTURE), _PICTURE
        ),
    )
    yield (
        "a JPEG of another size",
        fails(
            lambda: encapsulate_stream(encode_jpeg(make_picture(50, 40)), uid.JPEGBaseline8Bit, _PICTURE),
            *DAMAGED,
        ),
    )
    yield (
        "a JPEG in colour",
        fails(
            lambda: encapsulate_stream(
                encode_jpeg(cv2.cvtColor(_PICTURE, cv2.COLOR_GRAY2BGR)), uid.JPEGBaseline8Bit, _PICTURE
            ),
            *DAMAGED,
        ),
    )
    yield (
        "a JPEG cut short",
        fails(lambda: encapsulate_stream(stream[: third * 2], uid.JPEGBaseline8Bit, _PICTURE), *DAMAGED),
    )
    for (form, (syntax, whole)), (name, change) in product(_JPEG_STREAMS.items(), DAMAGE.items()):
        damaged = partial(change_coded_data, whole(), change)
        yield (
            f"{form} data with {name}",
            fails(lambda d=damaged, s=syntax: encapsulate_stream(d(), s, _PICTURE), *DAMAGED),
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
        fails(lambda: encapsulate_stream(bytes(range(256)) * 3, uid.JPEG2000, _PICTURE), *DAMAGED),
    )
    for rows, columns in ((44, 36), (65_535, 65_535), (0, 0)):
        for body in (b"", b"\0" * 50_000, b"\xff\x7f" * 5_000):
            name = f"JPEG-LS of {rows} x {columns}, {body[:2]!r} x {len(body)}"
            yield name, fails(lambda r=rows, c=columns, b=body: _jpegls(r, c, b), *DAMAGED)


def _rle_cases() -> Iterator[tuple[str, HostileFile]]:
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
        fails(lambda: _rle(b"\1\0\0\0\x40\0\0\0", b"\x81\xff" * 100_000), *DAMAGED),
    )
    yield (
        "RLE whose 16 MB unpack to a gigabyte",
        fails(lambda: _rle(b"\1\0\0\0\x40\0\0\0", b"\x81\xff" * 2**23), *DAMAGED),
    )
    for number in (1, 4):
        yield (
            f"RLE with {number} zeros behind the last pixel",
            shows(lambda n=number: _rle_with(b"\0\0" * n), _PICTURE),
        )
    yield "RLE with 5 zeros behind the last pixel", fails(lambda: _rle_with(b"\0\0" * 5), *DAMAGED)
    yield "RLE that has lost bytes", fails(_rle_with_loss, *DAMAGED)
    yield "RLE whose second bytes unpack too much", fails(_rle_of_two, *DAMAGED)
    yield "RLE that unpacks too little", fails(lambda: _rle(b"\1\0\0\0\x40\0\0\0", b"\xff\0" * 9), *ANY_ERROR)
