"""Write checkpoints as ``torch.save`` does, byte by byte, valid and hostile."""

import io
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

_STORAGES = {"float32": "FloatStorage", "float16": "HalfStorage", "int64": "LongStorage"}
_PARTS = ("_parameters", "_buffers", "_modules")
Arrays = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Global:
    """A class or function by its name."""

    module: str
    name: str


@dataclass(frozen=True)
class PickledCall:
    """The result of calling something."""

    called: Any
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Made:
    """An instance of a class, with its state."""

    of: Global
    state: dict[str, Any]


@dataclass(frozen=True)
class Reference:
    """A persistent identifier."""

    identifier: tuple[Any, ...]


def _all(values: Any) -> bytes:
    return b"".join(map(_pickled, values))


def _pickled(value: Any) -> bytes:
    match value:
        case None | True | False:
            return {None: b"N", True: b"\x88", False: b"\x89"}[value]
        case str():
            text = value.encode()
            return b"X" + struct.pack("<I", len(text)) + text
        case int():
            number = value.to_bytes(10, "little", signed=True)
            return b"\x8a" + bytes([len(number)]) + number
        case tuple():
            return b"(" + _all(value) + b"t"
        case list():
            return b"](" + _all(value) + b"e"
        case dict():
            return b"}(" + _all(each for item in value.items() for each in item) + b"u"
        case Global(module, name):
            return f"c{module}\n{name}\n".encode()
        case PickledCall(called, arguments):
            return _pickled(called) + _pickled(arguments) + b"R"
        case Made(of, state):
            return _pickled(of) + b")\x81" + _pickled(state) + b"b"
        case Reference(identifier):
            return _pickled(identifier) + b"Q"
        case bytes():  # operations as they are
            return value
    raise TypeError(type(value))


def pickled(value: Any) -> bytes:
    """Write a pickle of protocol 2."""
    return b"\x80\x02" + _pickled(value) + b"."


def storage(key: str, kind: str, length: Any) -> Reference:
    """Make the persistent identifier of a storage."""
    return Reference(("storage", Global("torch", kind), key, "cpu", length))


def tensor(of: Any, offset: Any, shape: Any, strides: Any) -> PickledCall:
    """Make the call that rebuilds a tensor."""
    rebuild = Global("torch._utils", "_rebuild_tensor_v2")
    ordered = PickledCall(Global("collections", "OrderedDict"), ())
    return PickledCall(rebuild, (of, offset, shape, strides, False, ordered))


def _tensor_of(key: str, array: np.ndarray[Any, Any]) -> PickledCall:
    strides = tuple(step // array.itemsize for step in array.strides)
    return tensor(storage(key, _STORAGES[str(array.dtype)], array.size), 0, array.shape, strides)


def state_dict(arrays: Arrays) -> dict[str, PickledCall]:
    """Make tensors of the arrays, each with its own storage, which is named by its number."""
    return {name: _tensor_of(str(key), array) for key, (name, array) in enumerate(arrays.items())}


def module(arrays: Arrays) -> Made:
    """Make a module of the same arrays with modules inside; their classes do not exist."""
    root: dict[str, Any] = {part: {} for part in _PARTS}
    for name, value in state_dict(arrays).items():
        *path, last = name.split(".")
        each = root
        for part in path:
            each = each["_modules"].setdefault(part, {part: {} for part in _PARTS})
        each["_buffers" if last.startswith(("running", "num")) else "_parameters"][last] = value
    return _made(root)


def _made(state: dict[str, Any]) -> Made:
    children = {name: _made(child) for name, child in state["_modules"].items()}
    return Made(
        Global("torchxrayvision.models", "DenseNet"), state | {"_modules": children, "training": True}
    )


def zip_file(content: Any, arrays: Arrays, compression: int = zipfile.ZIP_STORED) -> bytes:
    """Write a checkpoint in the format since PyTorch 1.6."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled(content))
        for key, array in enumerate(arrays.values()):
            archive.writestr(f"archive/data/{key}", array.tobytes())
        for name, text in (("version", b"3\n"), ("byteorder", b"little"), (".data/serialization_id", b"17")):
            archive.writestr(f"archive/{name}", text)
    return file.getvalue()


def legacy_file(content: Any, arrays: Arrays) -> bytes:
    """Write a checkpoint in the format before PyTorch 1.6."""
    system = {"protocol_version": 1001, "little_endian": True}
    keys = list(map(str, range(len(arrays))))
    head = [0x1950A86A20F9469CFC6C, 1001, system, content, keys]
    rows = (struct.pack("<q", array.size) + array.tobytes() for array in arrays.values())
    return b"".join(map(pickled, head)) + b"".join(rows)
