"""DICOM files with hostile compressed pixels, each with its allowed outcomes."""

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
    expect_either,
    expect_errors,
    expect_picture,
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


def _encode_items(*items: bytes) -> bytes:
    """Encode encapsulated pixel data. The first item is the basic offset table."""
    return b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<I", len(item)) + item for item in items) + (
        b"\xfe\xff\xdd\xe0\0\0\0\0"
    )


def _encapsulate_items(*items: bytes) -> bytes:
    return encapsulate_pixel_data(_encode_items(*items), uid.JPEGBaseline8Bit, _PICTURE)


def _pad_to_even(data: bytes) -> bytes:
    return data + b"\0" * (len(data) % 2)


def _make_rle(header: bytes, body: bytes = b"\0" * 200) -> bytes:
    return encapsulate_stream(header.ljust(64, b"\0") + body, uid.RLELossless, _PICTURE)


def _append_to_rle(more: bytes) -> bytes:
    """Append coded bytes to a picture's own, as some encoders do."""
    stream = read_stream(compress_dicom(make_dicom(_PICTURE), uid.RLELossless))
    return encapsulate_stream(stream + more, uid.RLELossless, _PICTURE)


def _remove_rle_byte() -> bytes:
    """Remove one byte, so that the rest unpacks to more than the picture."""
    stream = read_stream(compress_dicom(make_dicom(_PICTURE), uid.RLELossless))
    return encapsulate_stream(stream[:400] + stream[401:], uid.RLELossless, _PICTURE)


def _overfill_second_segment() -> bytes:
    """Make a second segment with more bytes than the picture, on which pylibjpeg-rle panics."""
    pixels = make_deep_picture()
    zeros = b"\x81\0" * (pixels.size // 128)
    header = struct.pack("<3I", 2, 64, 64 + len(zeros)).ljust(64, b"\0")
    return encapsulate_stream(header + zeros + zeros + b"\x81\0" * 9, uid.RLELossless, pixels)


def _change_jpeg_2000(change: Callable[[bytearray], None]) -> bytes:
    file = bytearray(compress_dicom(make_dicom(_PICTURE), uid.JPEG2000Lossless))
    at = file.index(b"\xff\x4f\xff\x51")
    stream = bytearray(file[at:])
    change(stream)
    return bytes(file[:at] + stream)


def _write_number_at(at: int, value: int) -> Callable[[bytearray], None]:
    def change(stream: bytearray) -> None:
        struct.pack_into(">I", stream, at, value)

    return change


def _make_jpeg_ls(rows: int, columns: int, body: bytes) -> bytes:
    frame = b"\xff\xf7\0\x0b\x08" + struct.pack(">HH", rows, columns) + b"\1\1\x11\0"
    scan = b"\xff\xda\0\x08\1\1\0\0\0\0"
    return encapsulate_stream(b"\xff\xd8" + frame + scan + body + b"\xff\xd9", uid.JPEGLSLossless, _PICTURE)


def list_codec_cases() -> Iterator[tuple[str, HostileFile]]:
    """List hostile encapsulations, and hostile streams of each codec."""
    stream = _pad_to_even(encode_jpeg(_PICTURE))
    third = len(stream) // 6 * 2
    pieces = (stream[:third], stream[third : 2 * third], stream[2 * third :])
    yield "three fragments", expect_picture(lambda: _encapsulate_items(b"", *pieces), _PICTURE)
    yield (
        "offset table beyond the end",
        expect_either(lambda: _encapsulate_items(b"\xff" * 4, stream), _PICTURE),
    )
    yield "offset table that overlaps", expect_either(lambda: _encapsulate_items(b"\0" * 8, stream), _PICTURE)
    yield ("offset table of 3 bytes", expect_either(lambda: _encapsulate_items(b"\0\0\0", stream), _PICTURE))
    yield (
        "offset table of 100,000",
        expect_either(lambda: _encapsulate_items(b"\0" * 400_000, stream), _PICTURE),
    )
    yield "no fragment", expect_errors(lambda: _encapsulate_items(b""), *DAMAGED)
    yield "an empty fragment", expect_errors(lambda: _encapsulate_items(b"", b""), *DAMAGED)
    yield (
        "10,000 fragments of nothing",
        expect_either(lambda: _encapsulate_items(b"", *[b""] * 10_000, stream), _PICTURE),
    )
    yield (
        "a fragment longer than the file",
        expect_errors(
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
        expect_either(
            lambda: encapsulate_pixel_data(_encode_items(b"", stream)[:-8], uid.JPEGBaseline8Bit, _PICTURE),
            _PICTURE,
        ),
    )
    yield (
        "a JPEG of another size",
        expect_errors(
            lambda: encapsulate_stream(encode_jpeg(make_picture(50, 40)), uid.JPEGBaseline8Bit, _PICTURE),
            *DAMAGED,
        ),
    )
    yield (
        "a JPEG in colour",
        expect_errors(
            lambda: encapsulate_stream(
                encode_jpeg(cv2.cvtColor(_PICTURE, cv2.COLOR_GRAY2BGR)), uid.JPEGBaseline8Bit, _PICTURE
            ),
            *DAMAGED,
        ),
    )
    yield (
        "a JPEG cut short",
        expect_errors(
            lambda: encapsulate_stream(stream[: third * 2], uid.JPEGBaseline8Bit, _PICTURE), *DAMAGED
        ),
    )
    for (form, (syntax, whole)), (name, change) in product(_JPEG_STREAMS.items(), DAMAGE.items()):
        damaged = partial(change_coded_data, whole(), change)
        yield (
            f"{form} data with {name}",
            expect_errors(lambda d=damaged, s=syntax: encapsulate_stream(d(), s, _PICTURE), *DAMAGED),
        )
    yield from _list_rle_cases()
    for at, name in {8: "columns", 12: "rows", 16: "left", 24: "tile width", 28: "tile height"}.items():
        for value in (0, 1, 20, 2**31 - 1, 2**32 - 1):
            yield (
                f"JPEG 2000 with {name} {value}",
                expect_either(lambda a=at, v=value: _change_jpeg_2000(_write_number_at(a, v)), _PICTURE),
            )
    yield (
        "JPEG 2000 of 16,384 components",
        expect_errors(lambda: _change_jpeg_2000(lambda s: struct.pack_into(">H", s, 40, 16_384)), *DAMAGED),
    )
    yield (
        "JPEG 2000 of 38 bits",
        expect_errors(lambda: _change_jpeg_2000(lambda s: s.__setitem__(42, 37)), *DAMAGED),
    )
    yield (
        "JPEG 2000 of noise",
        expect_errors(lambda: encapsulate_stream(bytes(range(256)) * 3, uid.JPEG2000, _PICTURE), *DAMAGED),
    )
    for rows, columns in ((44, 36), (65_535, 65_535), (0, 0)):
        for body in (b"", b"\0" * 50_000, b"\xff\x7f" * 5_000):
            name = f"JPEG-LS of {rows} x {columns}, {body[:2]!r} x {len(body)}"
            yield name, expect_errors(lambda r=rows, c=columns, b=body: _make_jpeg_ls(r, c, b), *DAMAGED)


def _list_rle_cases() -> Iterator[tuple[str, HostileFile]]:
    for name, header in {
        "no segments": b"\0\0\0\0",
        "16 segments": b"\x10\0\0\0" + b"\x40\0\0\0" * 15,
        "segments of another number": b"\2\0\0\0\x40\0\0\0\x50\0\0\0",
        "a segment beyond the end": b"\1\0\0\0\xff\xff\xff\x7f",
        "a segment in the header": b"\1\0\0\0\4\0\0\0",
    }.items():
        yield f"RLE of {name}", expect_errors(lambda h=header: _make_rle(h), *DAMAGED)
    yield (
        "RLE that unpacks too much",
        expect_errors(lambda: _make_rle(b"\1\0\0\0\x40\0\0\0", b"\x81\xff" * 100_000), *DAMAGED),
    )
    yield (
        # Segments were once unpacked whole: 5 MB ended every decoder in turn.
        "RLE whose 16 MB unpack to a gigabyte",
        expect_errors(lambda: _make_rle(b"\1\0\0\0\x40\0\0\0", b"\x81\xff" * 2**23), *DAMAGED),
    )
    # Some encoders and cameras leave a few zeros, which are no damage.
    for number in (1, 4):
        yield (
            f"RLE with {number} zeros behind the last pixel",
            expect_picture(lambda n=number: _append_to_rle(b"\0\0" * n), _PICTURE),
        )
    yield (
        "RLE with 5 zeros behind the last pixel",
        expect_errors(lambda: _append_to_rle(b"\0\0" * 5), *DAMAGED),
    )
    # Such a segment often unpacks to too much, and decoders
    # take the first part of it: 46 of 100 were answered.
    yield "RLE that has lost bytes", expect_errors(_remove_rle_byte, *DAMAGED)
    # docs/decisions/0005: Python cannot catch a panic in Rust, so it ends the process.
    yield "RLE whose second bytes unpack too much", expect_errors(_overfill_second_segment, *DAMAGED)
    yield (
        "RLE that unpacks too little",
        expect_errors(lambda: _make_rle(b"\1\0\0\0\x40\0\0\0", b"\xff\0" * 9), *ANY_ERROR),
    )
