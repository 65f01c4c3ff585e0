"""Read what ``torch.save`` wrote, without PyTorch: the zip form, and the legacy form that came before 1.6."""

import io
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.imported.tensors import BFLOAT16, TYPES, Storage, check_storages, check_tensor
from pipelines.imported.unpickle import StorageArguments, TensorArguments, UnreadableCheckpoint, unpickle

_MOST_BYTES: Final = 1 << 30
_LEGACY_MAGIC: Final = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL: Final = 1001
_LEGACY_PICKLES: Final = 5
Array = NDArray[np.generic]


@dataclass(frozen=True)
class Checkpoint:
    """The content of a file as ``unpickle`` gives it, the storages, and the bytes of each storage by key."""

    content: Any
    storages: tuple[Storage, ...]
    data: Mapping[str, memoryview]

    def read_array(self, described: TensorArguments) -> Array:
        """Copy a tensor out of its storage. bfloat16 becomes float32.

        Raises:
            UnreadableCheckpoint: The tensor does not lie inside its storage, or the file has too few bytes.
        """
        tensor = check_tensor(described, self.storages)
        storage = tensor.storage
        kind = TYPES[storage.type]
        data = self.data.get(storage.key)
        if data is None or len(data) < (storage.first + storage.length) * kind.itemsize:
            raise UnreadableCheckpoint("the file ends before its numbers do: it is damaged")
        row = np.frombuffer(data, kind, storage.length, storage.first * kind.itemsize)
        strides = [step * kind.itemsize for step in tensor.strides]
        # as_strided checks nothing: without check_tensor above, it reads memory of this process.
        view = np.lib.stride_tricks.as_strided(row[tensor.offset :], tensor.shape, strides, writeable=False)
        if storage.type == BFLOAT16:
            # numpy has no bfloat16. Its 16 bits are the upper half of a float32.
            return (view.astype(np.uint32) << 16).view(np.float32)
        return view.copy()


def _entries(archive: zipfile.ZipFile, most: int) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    entries = {info.filename: info for info in infos}
    if len(entries) != len(infos) or any(info.flag_bits & 1 for info in infos):
        raise UnreadableCheckpoint("the archive has two entries with the same name, or is encrypted")
    # torch.save never compresses. An archive that claims to hold more than the file does is a bomb.
    compressed = any(info.compress_type != zipfile.ZIP_STORED for info in infos)
    if compressed or sum(info.file_size for info in infos) > most:
        raise UnreadableCheckpoint("the archive is compressed, or its entries overlap")
    return entries


def _read_archive(data: bytes) -> Checkpoint:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = _entries(archive, len(data))
        roots = [name.removesuffix("/data.pkl") for name in entries if name.endswith("/data.pkl")]
        # TorchScript archives have constants.pkl, and hold code.
        if len(roots) != 1 or f"{roots[0]}/constants.pkl" in entries:
            raise UnreadableCheckpoint("torch.save did not write this archive (is it a TorchScript module?)")
        order = f"{roots[0]}/byteorder"
        if order in entries and archive.read(order) != b"little":
            raise UnreadableCheckpoint("the file was written on a big-endian machine")
        unpickled = unpickle(archive.read(f"{roots[0]}/data.pkl"))
        storages = check_storages(unpickled.storages)
        names = {storage.key: f"{roots[0]}/data/{storage.key}" for storage in storages}
        data_by_key = {key: memoryview(archive.read(name)) for key, name in names.items() if name in entries}
        return Checkpoint(unpickled.values[0], storages, data_by_key)


def _read_legacy(data: bytes) -> Checkpoint:
    unpickled = unpickle(data, _LEGACY_PICKLES)
    magic, protocol, system, content, keys = unpickled.values
    if magic != _LEGACY_MAGIC or protocol != _LEGACY_PROTOCOL:
        raise UnreadableCheckpoint("the file is a pickle, but torch.save did not write it")
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise UnreadableCheckpoint("the file was written on a big-endian machine")
    storages = check_storages(unpickled.storages)
    return Checkpoint(content, storages, _read_legacy_data(data, unpickled.end, keys, unpickled.storages))


def _read_legacy_data(
    data: bytes, position: int, keys: list[str], storages: tuple[StorageArguments, ...]
) -> dict[str, memoryview]:
    """Find the bytes of each storage: its length in eight bytes, then its elements."""
    storage_by_key = {storage.key: storage for storage in storages}
    data_by_key = {}
    for key in keys:
        if key not in storage_by_key:
            raise UnreadableCheckpoint("the file holds numbers that nothing refers to")
        (length,) = struct.unpack("<q", data[position : position + 8])
        if length != storage_by_key[key].length:
            raise UnreadableCheckpoint("a storage in the file has two lengths")
        start, size = position + 8, length * TYPES[storage_by_key[key].type].itemsize
        data_by_key[key] = memoryview(data)[start : start + size]
        position = start + size
    return data_by_key


def read_checkpoint(data: bytes) -> Checkpoint:
    """Read a checkpoint. Nothing in it is imported, called or unpacked to a disk.

    Args:
        data: The bytes of a ``.pt``, ``.pth`` or ``.pth.tar`` file.

    Raises:
        UnsafeCheckpoint: The file calls something that no checkpoint needs.
        UnreadableCheckpoint: The file is not a checkpoint, is damaged, or is of a kind that is not read here.

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
    except Exception as error:  # zipfile, struct and malformed values raise many kinds
        raise UnreadableCheckpoint("the file is not a PyTorch checkpoint, or it is damaged") from error


def read_file(path: Path) -> bytes:
    """Read a checkpoint's bytes.

    Raises:
        UnreadableCheckpoint: The file cannot be read, or is too large.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UnreadableCheckpoint("the file is larger than any DenseNet121")
        return path.read_bytes()
    except OSError as error:
        raise UnreadableCheckpoint(f"the file cannot be read: {error.strerror}") from error
