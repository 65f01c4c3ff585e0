"""Tensors as a checkpoint describes them: views of storages, checked to lie inside them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pipelines.imported.unpickle import StorageArguments, TensorArguments, UnreadableCheckpoint

_LARGEST: Final = 1 << 30
_MOST_DIMENSIONS: Final = 8
BFLOAT16: Final = "BFloat16Storage"
TYPES: Final[Mapping[str, np.dtype[Any]]] = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    BFLOAT16: np.dtype("<u2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}


@dataclass(frozen=True)
class Storage:
    """A row of numbers of one type, or a part of it that begins at the element ``first``."""

    key: str
    type: str
    length: int
    first: int = 0


@dataclass(frozen=True)
class TensorView:
    """A view of a storage, in elements. It is checked to lie inside the storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _is_count(value: object) -> bool:
    # Not isinstance, because True is an int too.
    return type(value) is int and 0 <= value <= _LARGEST


def check_storages(described: Sequence[StorageArguments]) -> tuple[Storage, ...]:
    """Check the storages of a file, in their order.

    Raises:
        UnreadableCheckpoint: A type is not read here, a length or a view makes no sense, or the file
            describes one storage in two ways.
    """
    whole_by_key: dict[str, Storage] = {}
    return tuple(_check_storage(storage, whole_by_key) for storage in described)


def _check_storage(described: StorageArguments, whole_by_key: dict[str, Storage]) -> Storage:
    is_known = described.module in ("torch", "torch.cuda") and described.type in TYPES
    if not is_known or not _is_count(described.length):
        raise UnreadableCheckpoint("the file refers to something that is not read here")
    whole = Storage(described.key, described.type, described.length)
    if whole_by_key.setdefault(whole.key, whole) != whole:
        raise UnreadableCheckpoint("a storage in the file has two types or lengths")
    if described.view is None:
        return whole
    first, length = described.view
    if not 0 <= first <= first + length <= whole.length:
        raise UnreadableCheckpoint("a view in the file reaches beyond its storage")
    return Storage(whole.key, whole.type, length, first)


def check_tensor(described: TensorArguments, storages: Sequence[Storage]) -> TensorView:
    """Check that a tensor lies inside its storage.

    Raises:
        UnreadableCheckpoint: It does not, or its shape or strides make no sense.
    """
    storage, shape, strides = storages[described.storage], described.shape, described.strides
    if len(shape) != len(strides) or len(shape) > _MOST_DIMENSIONS:
        raise UnreadableCheckpoint("a tensor in the file makes no sense")
    if not all(map(_is_count, (described.offset, *shape, *strides))):
        raise UnreadableCheckpoint("a tensor in the file makes no sense")
    size, offset = math.prod(shape), described.offset
    last = offset + sum((length - 1) * step for length, step in zip(shape, strides, strict=True))
    if size > storage.length or (size and last >= storage.length) or offset > storage.length:
        raise UnreadableCheckpoint("a tensor in the file reaches beyond its storage")
    return TensorView(storage, offset, shape, strides)
