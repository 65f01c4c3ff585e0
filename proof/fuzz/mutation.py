"""Mutations behind checksums and compression, so that the damage reaches the decoding code."""

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Final

Mutate = Callable[[bytes, int], bytes]
_PNG_START: Final = 8
_PROBABILITY: Final = 0.4
_MAX_ENTRIES: Final = 100
_ELEMENTS: Final = (
    (0x00280002, b"US", (b"\1\0", b"\3\0", b"\0\0", b"\xff\xff")),
    (0x00280004, b"CS", (b"MONOCHROME1 ", b"MONOCHROME2 ", b"RGB ", b"YBR_FULL", b"PALETTE COLOR ", b"")),
    (0x00280008, b"IS", (b"1 ", b"0 ", b"2 ", b"-1", b"99999999")),
    (0x00280010, b"US", (b"\0\0", b"\x2c\0", b"\xff\xff")),
    (0x00280100, b"US", (b"\1\0", b"\x08\0", b"\x10\0", b"\x20\0")),
    (0x00280101, b"US", (b"\1\0", b"\x08\0", b"\x0c\0", b"\x10\0", b"\x40\0")),
    (0x00280102, b"US", (b"\0\0", b"\x07\0", b"\x0b\0", b"\x0f\0", b"\xff\xff")),
    (0x00280103, b"US", (b"\0\0", b"\1\0", b"\2\0")),
    (0x00280120, b"US", (b"\0\0", b"\xff\xff", b"\xff\x0f")),
    (0x00281050, b"DS", (b"0 ", b"-1000 ", b"1e308 ", b"NaN ", b"inf ", b"1\\2\\3 ")),
    (0x00281051, b"DS", (b"0 ", b"-1", b"1 ", b"1e-300", b"1e308 ", b"nan ")),
    (0x00281053, b"DS", (b"-1", b"0 ", b"1e300 ", b"-1e300", b"nan ", b"inf ")),
    (0x00281052, b"DS", (b"0 ", b"1e308 ", b"-1e308", b"nan ")),
    (0x20500020, b"CS", (b"INVERSE ", b"IDENTITY", b"")),
)


def mutate_png(data: bytes, max_bytes: int, seed: int, mutate: Mutate) -> bytes:
    """Mutate the body of a chunk, or the scanlines within IDAT, and write a valid checksum."""
    rng = random.Random(seed)
    chunks = _read_chunks(data)
    if not chunks or rng.random() > 2 * _PROBABILITY:
        return mutate(data, max_bytes)
    index = rng.randrange(len(chunks))
    name, body = chunks[index]
    if name == b"IDAT" and rng.random() < _PROBABILITY:
        body = zlib.compress(mutate(_inflate(body), max_bytes), 1)
    else:
        body = mutate(body, max_bytes)
    chunks[index] = (name, body)
    if rng.random() < _PROBABILITY / 4:
        rng.shuffle(chunks)
    return data[:_PNG_START] + b"".join(map(_write_chunk, chunks))


def mutate_dicom(data: bytes, max_bytes: int, seed: int, mutate: Mutate) -> bytes:
    """Replace an element by one with an extreme value, or mutate any byte."""
    rng = random.Random(seed)
    if rng.random() > _PROBABILITY or len(data) < 400:
        return mutate(data, max_bytes)
    tag, vr, values = rng.choice(_ELEMENTS)
    value = rng.choice(values)
    number = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    explicit = number + vr + struct.pack("<H", len(value)) + value
    at = data.find(number, 132)
    if at < 0:
        at = data.find(b"\xe0\x7f\x10\x00", 132)
        return data[:at] + explicit + data[at:] if at > 0 else mutate(data, max_bytes)
    length = int.from_bytes(data[at + 6 : at + 8], "little")  # the file may end here
    return data[:at] + explicit + data[at + 8 + length :]


def mutate_checkpoint(data: bytes, max_bytes: int, seed: int, mutate: Mutate) -> bytes:
    """Mutate one entry of the archive and write valid checksums, or mutate any byte."""
    rng = random.Random(seed)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            # Only stored entries, because a compressed one may be a bomb; PyTorch never compresses.
            stored = [info for info in archive.infolist() if info.compress_type == zipfile.ZIP_STORED]
            entries = {info.filename: archive.read(info) for info in stored[:_MAX_ENTRIES]}
    # A damaged archive raises many kinds of errors, and no archive at all is the legacy format.
    except Exception:
        return mutate(data, max_bytes)
    if not entries or rng.random() < _PROBABILITY / 4:
        return mutate(data, max_bytes)
    name = rng.choice(sorted(entries))
    mutated, file = entries | {name: mutate(entries[name], max_bytes)}, io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for each, content in mutated.items():
            archive.writestr(each, content)
    return file.getvalue()


def mutate_bytes(data: bytes, max_bytes: int, _seed: int, mutate: Mutate) -> bytes:
    """Mutate any byte."""
    return mutate(data, max_bytes)


MUTATORS: Final[Mapping[str, Callable[[bytes, int, int, Mutate], bytes]]] = {
    "png": mutate_png,
    "dicom": mutate_dicom,
    "checkpoint": mutate_checkpoint,
}


def _read_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks, at = [], _PNG_START
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return chunks


def _write_chunk(chunk: tuple[bytes, bytes]) -> bytes:
    name, body = chunk
    return len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")


def _inflate(body: bytes) -> bytes:
    try:
        # Bounded: the end of the mutator's process would count as a death of the target.
        return zlib.decompressobj().decompress(body, 2**20)
    except zlib.error:
        return body
