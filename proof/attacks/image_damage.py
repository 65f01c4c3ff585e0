"""Damage coded pixels at random places, and count the damaged files that are read as another picture.

Headers and end markers stay intact, so that a decoder can notice the damage only in the coded data. JPEG 2000
also stores the length of its data.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom import uid

from pleura.radiograph.reader import read_radiograph
from proof.lab.decoders import MeasuredDecoders
from proof.lab.files import encode_jpeg, encode_jpeg_lossless, make_dicom
from proof.lab.pictures import compress_dicom, encapsulate_stream, make_picture_tensor, read_stream
from proof.lab.radiographs import make_fresh_radiographs
from proof.lab.report import ClaimRow

_SIDE: Final = 512
_TIMES: Final = 100
_SECTOR, _FEW = 512, 4
_MAX_DIFFERENCE: Final = 8
"""The largest difference of grey levels between tensors of the same picture."""
_RLE_HEADER: Final = 64


def _flip_bit(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def _zero_sector(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) - _SECTOR)
    return data[:at] + bytes(_SECTOR) + data[at + _SECTOR :]


def _remove_sector(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) - _SECTOR)
    return data[:at] + data[at + _SECTOR :]


def _remove_bytes(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) - _FEW)
    return data[:at] + data[at + _FEW :]


def _cut_end(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


_CHANGES: Final[Mapping[str, Callable[[random.Random, bytes], bytes]]] = {
    "a bit flipped": _flip_bit,
    f"{_FEW} bytes lost": _remove_bytes,
    f"{_SECTOR} bytes zeroed": _zero_sector,
    f"{_SECTOR} bytes lost": _remove_sector,
    "the end lost": _cut_end,
}


@dataclass(frozen=True)
class _Coding:
    """One coding of a picture: its coded data, and a function that makes a file from changed data."""

    name: str
    data: bytes
    write: Callable[[bytes], bytes]


def _split(stream: bytes, begin: int) -> tuple[bytes, bytes, bytes]:
    """Split a stream into its start, the coded data, and the rest from the end marker on."""
    end = stream.rindex(b"\xff\xd9")
    return stream[:begin], stream[begin:end], stream[end:]


def _find_scan_data(stream: bytes) -> int:
    scan = stream.rindex(b"\xff\xda")
    return scan + 2 + int.from_bytes(stream[scan + 2 : scan + 4], "big")


def _build_raster_coding(name: str, file: bytes) -> _Coding:
    head, data, tail = _split(file, _find_scan_data(file))
    return _Coding(name, data, lambda changed: head + changed + tail)


def _build_dicom_coding(
    name: str, syntax: str, stream: bytes, pixels: NDArray[np.uint8], begin: int
) -> _Coding:
    head, data, tail = _split(stream, begin)
    return _Coding(
        f"DICOM, {name}", data, lambda changed: encapsulate_stream(head + changed + tail, syntax, pixels)
    )


def _list_codings(pixels: NDArray[np.uint8]) -> Iterator[_Coding]:
    yield _build_raster_coding("JPEG", encode_jpeg(pixels))
    colours = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    yield _build_raster_coding("JPEG, colour", encode_jpeg(colours))
    progressive = cv2.imencode(".jpg", colours, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    yield _build_raster_coding("JPEG, colour, last scan of a progressive one", progressive)
    for name, syntax, stream in (
        ("JPEG", uid.JPEGBaseline8Bit, encode_jpeg(pixels)),
        ("JPEG without loss", uid.JPEGLosslessSV1, encode_jpeg_lossless(pixels, 8)),
        ("JPEG-LS", uid.JPEGLSLossless, read_stream(compress_dicom(make_dicom(pixels), uid.JPEGLSLossless))),
    ):
        yield _build_dicom_coding(name, syntax, stream, pixels, _find_scan_data(stream))
    wavelets = read_stream(compress_dicom(make_dicom(pixels), uid.JPEG2000Lossless))
    yield _build_dicom_coding(
        "JPEG 2000", uid.JPEG2000Lossless, wavelets, pixels, wavelets.index(b"\xff\x93") + 2
    )
    runs = read_stream(compress_dicom(make_dicom(pixels), uid.RLELossless))
    yield _Coding(
        "DICOM, RLE",
        runs[_RLE_HEADER:],
        lambda changed: encapsulate_stream(runs[:_RLE_HEADER] + changed, uid.RLELossless, pixels),
    )


def measure_damage(reader: MeasuredDecoders) -> Iterator[ClaimRow]:
    """Count, for each coding, the damaged files of a hundred that are read as another picture."""
    (file,), rng = make_fresh_radiographs(1, seed=0, size_px=_SIDE), random.Random(0)
    pixels = read_radiograph(file, _SIDE**2).pixels.astype(np.uint8)
    right = make_picture_tensor(pixels).astype(int)
    for coding in _list_codings(pixels):
        # If the undamaged file were refused, the refusals of damaged ones would show nothing.
        assert reader.read(coding.write(coding.data)).tensor is not None
        wrong = dict.fromkeys(_CHANGES, 0)
        for name, change in _CHANGES.items():
            for _ in range(_TIMES):
                tensor = reader.read(coding.write(change(rng, coding.data))).tensor
                wrong[name] += (
                    tensor is not None and int(np.abs(tensor.astype(int) - right).max()) > _MAX_DIFFERENCE
                )
        *_, lost, ended = wrong.values()
        yield ClaimRow(
            f"{coding.name}: another picture, of {_TIMES} each with {', '.join(wrong)}",
            "the last two 0",
            ", ".join(f"{number}" for number in wrong.values()),
            not (lost or ended),
        )
