"""Damage at random places of coded pixels, and how much of it is answered as if nothing were wrong.

Headers and end markers are left as they are, so that only the coded data can tell; JPEG 2000 says of its data
how long they are.
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
_ALIKE: Final = 8
"""Grey levels by which a tensor may be off and still be the same picture."""
_RLE_HEADER: Final = 64


def _flipped(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def _zeroed(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) - _SECTOR)
    return data[:at] + bytes(_SECTOR) + data[at + _SECTOR :]


def _lost(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) - _SECTOR)
    return data[:at] + data[at + _SECTOR :]


def _shortened(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) - _FEW)
    return data[:at] + data[at + _FEW :]


def _ended(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


_CHANGES: Final[Mapping[str, Callable[[random.Random, bytes], bytes]]] = {
    "a bit flipped": _flipped,
    f"{_FEW} bytes lost": _shortened,
    f"{_SECTOR} bytes zeroed": _zeroed,
    f"{_SECTOR} bytes lost": _lost,
    "the end lost": _ended,
}


@dataclass(frozen=True)
class _Form:
    """One way to code a picture: its data, and what makes a file of others."""

    name: str
    data: bytes
    write: Callable[[bytes], bytes]


def _split(stream: bytes, begin: int) -> tuple[bytes, bytes, bytes]:
    """What stands before the coded data, they, and the end marker with what follows."""
    end = stream.rindex(b"\xff\xd9")
    return stream[:begin], stream[begin:end], stream[end:]


def _after_scan(stream: bytes) -> int:
    scan = stream.rindex(b"\xff\xda")
    return scan + 2 + int.from_bytes(stream[scan + 2 : scan + 4], "big")


def _raster(name: str, file: bytes) -> _Form:
    head, data, tail = _split(file, _after_scan(file))
    return _Form(name, data, lambda changed: head + changed + tail)


def _dicom(name: str, syntax: str, stream: bytes, pixels: NDArray[np.uint8], begin: int) -> _Form:
    head, data, tail = _split(stream, begin)
    return _Form(
        f"DICOM, {name}", data, lambda changed: encapsulate_stream(head + changed + tail, syntax, pixels)
    )


def _forms(pixels: NDArray[np.uint8]) -> Iterator[_Form]:
    yield _raster("JPEG", encode_jpeg(pixels))
    colours = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    yield _raster("JPEG, colour", encode_jpeg(colours))
    progressive = cv2.imencode(".jpg", colours, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    yield _raster("JPEG, colour, last scan of a progressive one", progressive)
    for name, syntax, stream in (
        ("JPEG", uid.JPEGBaseline8Bit, encode_jpeg(pixels)),
        ("JPEG without loss", uid.JPEGLosslessSV1, encode_jpeg_lossless(pixels, 8)),
        ("JPEG-LS", uid.JPEGLSLossless, read_stream(compress_dicom(make_dicom(pixels), uid.JPEGLSLossless))),
    ):
        yield _dicom(name, syntax, stream, pixels, _after_scan(stream))
    wavelets = read_stream(compress_dicom(make_dicom(pixels), uid.JPEG2000Lossless))
    yield _dicom("JPEG 2000", uid.JPEG2000Lossless, wavelets, pixels, wavelets.index(b"\xff\x93") + 2)
    runs = read_stream(compress_dicom(make_dicom(pixels), uid.RLELossless))
    yield _Form(
        "DICOM, RLE",
        runs[_RLE_HEADER:],
        lambda changed: encapsulate_stream(runs[:_RLE_HEADER] + changed, uid.RLELossless, pixels),
    )


def damage_rows(reader: MeasuredDecoders) -> Iterator[ClaimRow]:
    """Each form: how many damaged files of a hundred were answered with another picture."""
    (file,), rng = make_fresh_radiographs(1, seed=0, size_px=_SIDE), random.Random(0)
    pixels = read_radiograph(file, _SIDE**2).pixels.astype(np.uint8)
    right = make_picture_tensor(pixels).astype(int)
    for form in _forms(pixels):
        assert reader.read(form.write(form.data)).tensor is not None
        wrong = dict.fromkeys(_CHANGES, 0)
        for name, change in _CHANGES.items():
            for _ in range(_TIMES):
                tensor = reader.read(form.write(change(rng, form.data))).tensor
                wrong[name] += tensor is not None and int(np.abs(tensor.astype(int) - right).max()) > _ALIKE
        *_, lost, ended = wrong.values()
        yield ClaimRow(
            f"{form.name}: another picture, of {_TIMES} each with {', '.join(wrong)}",
            "the last two 0",
            ", ".join(f"{number}" for number in wrong.values()),
            not (lost or ended),
        )
