"""Tensors as a checkpoint describes them: views of storages, proven to lie inside them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from pipelines.imported.unpickle import Builder, Instance, Name, UnreadableCheckpoint

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
    """A row of numbers of one type, as the file names it; ``first`` is where a view of it begins."""

    key: str
    type: str
    length: int
    first: int = 0


@dataclass(frozen=True)
class Tensor:
    """A view of a storage, in elements; proven to lie inside it."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= _LARGEST


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    sane = isinstance(storage, Storage) and type(shape) is tuple and type(strides) is tuple
    if not sane or len(shape) != len(strides) or len(shape) > _MOST_DIMENSIONS:
        raise UnreadableCheckpoint("a tensor in the file makes no sense")
    if not all(map(_is_count, (offset, *shape, *strides))):
        raise UnreadableCheckpoint("a tensor in the file makes no sense")
    size = math.prod(shape)
    last = offset + sum((length - 1) * step for length, step in zip(shape, strides, strict=True))
    if size > storage.length or (size and last >= storage.length) or offset > storage.length:
        raise UnreadableCheckpoint("a tensor in the file reaches beyond its storage")
    return Tensor(storage, offset, shape, strides)


def _first_argument(value: Any, *_: Any) -> Any:
    return value


def _tensor_with_state(rebuild: Any, _: Any, arguments: Any, *__: Any) -> Tensor:
    if rebuild not in (_V1, _V2):
        raise UnreadableCheckpoint("a tensor in the file is of a kind that is not read here")
    return _tensor(*arguments)


def _ordered(pairs: Any = ()) -> dict[str, Any]:
    # Python 2 wrote the items of an OrderedDict as its argument, Python 3 sets them afterwards.
    if not all(type(pair) in (list, tuple) and len(pair) == 2 and type(pair[0]) is str for pair in pairs):
        raise UnreadableCheckpoint("a dictionary in the file makes no sense")
    return dict(pairs)


def _inert(module: str, name: str) -> tuple[Name, Builder]:
    return Name(module, name), lambda *_: Instance(Name(module, name))


_V1: Final = Name("torch._utils", "_rebuild_tensor")
_V2: Final = Name("torch._utils", "_rebuild_tensor_v2")
BUILDERS: Final[Mapping[Name, Builder]] = {
    _V1: _tensor,
    _V2: _tensor,
    Name("torch._utils", "_rebuild_parameter"): _first_argument,
    Name("torch._utils", "_rebuild_parameter_with_state"): _first_argument,
    Name("torch._tensor", "_rebuild_from_type_v2"): _tensor_with_state,
    Name("torch", "Size"): _first_argument,
    Name("collections", "OrderedDict"): _ordered,
    Name("collections", "defaultdict"): lambda *_: {},
    **dict(
        # What else stands in training checkpoints; none of it is of use here.
        (
            _inert("builtins", "set"),
            _inert("__builtin__", "set"),
            _inert("torch", "device"),
            _inert("torch.nn.backends.thnn", "_get_thnn_function_backend"),
            _inert("numpy", "dtype"),
            _inert("numpy.core.multiarray", "scalar"),
            _inert("numpy._core.multiarray", "scalar"),
            _inert("_codecs", "encode"),
        )
    ),
}


@dataclass
class Identifiers:
    """What stands behind the persistent identifiers of a pickle: storages, and the classes of modules."""

    storages: dict[str, Storage] = field(default_factory=dict)

    def __call__(self, identifier: Any) -> Storage | Name:
        match identifier:
            case ("module", Name() as name, _, _):  # the last two are its source code: never looked at
                return name
            case ("storage", Name(module="torch" | "torch.cuda", name=kind), str(key), _, length, *view):
                if kind in TYPES and _is_count(length):
                    return self._storage(Storage(key, kind, length), view)
        raise UnreadableCheckpoint("the file refers to something that is not read here")

    def _storage(self, whole: Storage, view: list[Any]) -> Storage:
        if self.storages.setdefault(whole.key, whole) != whole:
            raise UnreadableCheckpoint("a storage in the file is of two types")
        match view:
            case [] | [None]:
                return whole
            case [(_, int(first), int(length))] if 0 <= first <= first + length <= whole.length:
                return Storage(whole.key, whole.type, length, first)
        raise UnreadableCheckpoint("a view in the file reaches beyond its storage")
