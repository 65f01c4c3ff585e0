"""Read what ``torch.save`` wrote, without PyTorch: the zip form, and the legacy form that came before 1.6."""

import io
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.imported.tensors import BFLOAT16, BUILDERS, TYPES, Identifiers, Tensor
from pipelines.imported.unpickle import UnreadableCheckpoint, read_pickle

_MOST_BYTES: Final = 1 << 30
_LEGACY_MAGIC: Final = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL: Final = 1001
Array = NDArray[np.generic]


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: plain values with ``Tensor`` and ``Instance`` in them, and the bytes behind them."""

    content: Any
    storages: Mapping[str, memoryview]

    def array(self, tensor: Tensor) -> Array:
        """Copy a tensor out of its storage; bfloat16 becomes float32.

        Raises:
            UnreadableCheckpoint: The file holds too few bytes for it.
        """
        storage = tensor.storage
        kind = TYPES[storage.type]
        data = self.storages.get(storage.key)
        if data is None or len(data) < (storage.first + storage.length) * kind.itemsize:
            raise UnreadableCheckpoint("the file ends before its numbers do: it is damaged")
        row = np.frombuffer(data, kind, storage.length, storage.first * kind.itemsize)
        strides = [step * kind.itemsize for step in tensor.strides]
        view = np.lib.stride_tricks.as_strided(row[tensor.offset :], tensor.shape, strides, writeable=False)
        if storage.type == BFLOAT16:
            return (view.astype(np.uint32) << 16).view(np.float32)
        return view.copy()


def _entries(archive: zipfile.ZipFile, most: int) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    entries = {info.filename: info for info in infos}
    if len(entries) != len(infos) or any(info.flag_bits & 1 for info in infos):
        raise UnreadableCheckpoint("the archive has two entries of one name, or is encrypted")
    # torch.save never compresses: whatever claims to be larger than the file is a bomb.
    compressed = any(info.compress_type != zipfile.ZIP_STORED for info in infos)
    if compressed or sum(info.file_size for info in infos) > most:
        raise UnreadableCheckpoint("the archive is compressed, or its entries overlap")
    return entries


def _read_archive(data: bytes) -> Checkpoint:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = _entries(archive, len(data))
        roots = [name.removesuffix("/data.pkl") for name in entries if name.endswith("/data.pkl")]
        if len(roots) != 1 or f"{roots[0]}/constants.pkl" in entries:
            raise UnreadableCheckpoint("the archive is not what torch.save writes (a TorchScript module?)")
        order = f"{roots[0]}/byteorder"
        if order in entries and archive.read(order) != b"little":
            raise UnreadableCheckpoint("the file was written on a big-endian machine")
        identifiers = Identifiers()
        content = read_pickle(io.BytesIO(archive.read(f"{roots[0]}/data.pkl")), BUILDERS, identifiers)
        named = {key: f"{roots[0]}/data/{key}" for key in identifiers.storages}
        return Checkpoint(
            content,
            {key: memoryview(archive.read(name)) for key, name in named.items() if name in entries},
        )


def _plain(stream: BinaryIO) -> Any:
    return read_pickle(stream, {}, Identifiers())


def _read_legacy(data: bytes) -> Checkpoint:
    stream = io.BytesIO(data)
    if _plain(stream) != _LEGACY_MAGIC or _plain(stream) != _LEGACY_PROTOCOL:
        raise UnreadableCheckpoint("the file is a pickle, but not one that torch.save wrote")
    system = _plain(stream)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise UnreadableCheckpoint("the file was written on a big-endian machine")
    identifiers = Identifiers()
    content = read_pickle(stream, BUILDERS, identifiers)
    storages = {}
    for key in _plain(stream):
        if key not in identifiers.storages:
            raise UnreadableCheckpoint("the file holds numbers that nothing refers to")
        storage = identifiers.storages[key]
        (length,) = struct.unpack("<q", stream.read(8))
        if length != storage.length:
            raise UnreadableCheckpoint("a storage in the file is of two lengths")
        start, size = stream.tell(), length * TYPES[storage.type].itemsize
        storages[key] = memoryview(data)[start : start + size]
        stream.seek(start + size)
    return Checkpoint(content, storages)


def read_checkpoint(data: bytes) -> Checkpoint:
    """Read a checkpoint; nothing in it is imported, called or unpacked to a disk.

    Args:
        data: The bytes of a ``.pt``, ``.pth`` or ``.pth.tar`` file.

    Raises:
        UnsafeCheckpoint: It would have something called.
        UnreadableCheckpoint: It is no checkpoint, damaged, or of a kind that is not read here.

    Source:
        PyTorch, torch/serialization.py (``_save``, ``_legacy_save``) and torch/_utils.py
        (``_rebuild_tensor_v2``), versions 0.4 to 2.
    """
    if len(data) > _MOST_BYTES:
        raise UnreadableCheckpoint("the file is larger than any DenseNet121")
    try:
        if data.startswith(b"PK\x03\x04"):
            return _read_archive(data)
        return _read_legacy(data)
    except UnreadableCheckpoint:
        raise
    except Exception as error:  # what zipfile, struct and malformed values come to: their kinds are many
        raise UnreadableCheckpoint("the file is no PyTorch checkpoint, or it is damaged") from error


def read_file(path: Path) -> bytes:
    """Read a checkpoint's bytes.

    Raises:
        UnreadableCheckpoint: They cannot be read, or are too many.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UnreadableCheckpoint("the file is larger than any DenseNet121")
        return path.read_bytes()
    except OSError as error:
        raise UnreadableCheckpoint(f"the file cannot be read: {error.strerror}") from error
