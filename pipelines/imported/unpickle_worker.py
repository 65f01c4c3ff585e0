"""Unpickle hostile bytes without running anything that they name. ``unpickle`` starts this script.

The script reads pickles from its standard input and prints their values as JSON. It imports the standard
library only, and limits its own memory, processor time and files before it reads the first byte.

A pickle can call only what ``find_class`` returns: classes without behaviour. A call of such a class is
refused, unless ``_CALLS`` has plain data for it. No extension codes are registered in this process.
"""

import io
import json
import pickle
import resource
import sys
from collections.abc import Callable
from typing import Any, Final

_MEMORY_BYTES: Final = 1 << 29
_PROCESSOR_S: Final = 20
_MOST_NODES: Final = 500_000
_SCALARS: Final = (str, int, float, bool, type(None))


class Unreadable(Exception):
    """The pickles hold something that ``torch.save`` does not write, or that is not read here."""


class Unsafe(Exception):
    """The pickles call something that no checkpoint needs."""


class _InertType(type):
    """The type of all classes that a pickle names: it decides what a call of such a class gives."""

    def __call__(cls, *arguments: Any) -> Any:
        path: tuple[str, str] = cls.path  # type: ignore[attr-defined]
        if path in _INERT_CALLS:
            return cls.__new__(cls)  # type: ignore[call-overload]  # its instances are classes
        if path not in _CALLS:
            raise Unsafe(f"the file would call {'.'.join(path)[:80]!r}: it is refused")
        return _CALLS[path](*arguments)


class Placeholder(metaclass=_InertType):
    """An object of a class that is not imported. BUILD fills ``state`` and nothing else."""

    path = ("", "")

    def __new__(cls, *_: Any, **__: Any) -> "Placeholder":
        made = object.__new__(cls)
        made.state = {}
        return made

    def __getinitargs__(self) -> tuple[()]:
        """Make the opcodes INST and OBJ call the class, so that ``_InertType`` decides about them too."""
        return ()

    def __setstate__(self, state: Any) -> None:
        if type(state) is dict:
            self.state.update(state)

    state: dict[Any, Any]


class _Storage:
    """A persistent identifier of a storage, by its place in the list of all storages."""

    def __init__(self, place: int) -> None:
        self.place = place

    def __setstate__(self, state: Any) -> None:
        """Ignore BUILD."""


class _Tensor:
    """The arguments of a tensor: a view of a storage. The parent process checks the bounds."""

    def __init__(self, storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> None:
        is_view = isinstance(storage, _Storage) and type(shape) is tuple and type(strides) is tuple
        if not is_view or any(type(number) is not int for number in (offset, *shape, *strides)):
            raise Unreadable("a tensor in the file makes no sense")
        self.arguments = [storage.place, offset, list(shape), list(strides)]

    def __setstate__(self, state: Any) -> None:
        """Ignore BUILD."""


class _Dictionary(dict[Any, Any]):
    """An OrderedDict of the file. BUILD, by which PyTorch adds ``_metadata``, changes nothing."""

    def __setstate__(self, state: Any) -> None:
        """Ignore BUILD."""


def _ordered_dict(pairs: Any = ()) -> _Dictionary:
    # Python 2 wrote the items of an OrderedDict as its argument. Python 3 sets them afterwards.
    if not all(type(pair) in (list, tuple) and len(pair) == 2 and type(pair[0]) is str for pair in pairs):
        raise Unreadable("a dictionary in the file makes no sense")
    return _Dictionary(pairs)


def _tensor_of_type(rebuild: Any, _: Any, arguments: Any, *__: Any) -> _Tensor:
    if getattr(rebuild, "path", None) not in (_V1, _V2):
        raise Unreadable("a tensor in the file is of a kind that is not read here")
    return _Tensor(*arguments)


_V1: Final = ("torch._utils", "_rebuild_tensor")
_V2: Final = ("torch._utils", "_rebuild_tensor_v2")
_CALLS: Final[dict[tuple[str, str], Callable[..., Any]]] = {
    _V1: _Tensor,
    _V2: _Tensor,
    ("torch._utils", "_rebuild_parameter"): lambda value, *_: value,
    ("torch._utils", "_rebuild_parameter_with_state"): lambda value, *_: value,
    ("torch._tensor", "_rebuild_from_type_v2"): _tensor_of_type,
    ("torch", "Size"): lambda value, *_: value,
    ("collections", "OrderedDict"): _ordered_dict,
    ("collections", "defaultdict"): lambda *_: _Dictionary(),
}
# training checkpoints hold these too; their values are not needed
_INERT_CALLS: Final = frozenset(
    (
        *(("builtins", "set"), ("__builtin__", "set"), ("_codecs", "encode"), ("torch", "device")),
        *(("numpy", "dtype"), ("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar")),
        ("torch.nn.backends.thnn", "_get_thnn_function_backend"),
    )
)


class Unpickler(pickle.Unpickler):
    """Python's unpickler, which finds inert classes only and collects the storages."""

    def __init__(self, stream: io.BytesIO, storages: list[Any]) -> None:
        # Python 2 wrote text as bytes of any encoding. latin-1 reads every byte.
        super().__init__(stream, fix_imports=False, encoding="latin-1")
        self._classes: dict[tuple[str, str], type] = {}
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        """Give an inert class for a name; nothing is imported."""
        path = module, name
        if path not in self._classes:
            self._classes[path] = _InertType("Inert", (Placeholder,), {"path": path})
        return self._classes[path]

    def persistent_load(self, identifier: Any) -> Any:
        """Resolve the identifiers that PyTorch writes: storages, and the classes of modules."""
        match identifier:
            case ("module", _InertType() as named, _, _):  # the last two are source code: never looked at
                return named
            case ("storage", _InertType() as named, str(key), _, int(length), *view):
                self._storages.append([*named.path, key, length, _plain_view(view)])  # type: ignore[attr-defined]
                return _Storage(len(self._storages) - 1)
        raise Unreadable("the file refers to something that is not read here")


def _plain_view(view: list[Any]) -> list[int] | None:
    match view:
        case [] | [None]:
            return None
        case [(_, int(first), int(length))]:
            return [first, length]
    raise Unreadable("a view in the file makes no sense")


class _Nodes:
    """Values as nodes that refer to each other by number, so that cycles and shared values stay small."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self._numbers: dict[int, int] = {}
        self._waiting: list[tuple[int, Any]] = []
        self._alive: list[Any] = []  # an id is unique only while its object lives

    def add(self, value: Any) -> int:
        """Add a value with everything inside it, without recursion, and give its number."""
        number = self._number(value)
        while self._waiting:
            place, waiting = self._waiting.pop()
            self.nodes[place] = self._node(waiting)
        return number

    def _number(self, value: Any) -> int:
        if id(value) not in self._numbers:
            if len(self.nodes) >= _MOST_NODES:
                raise Unreadable("the pickle in the file holds too many values")
            self._numbers[id(value)] = len(self.nodes)
            self._alive.append(value)
            self._waiting.append((len(self.nodes), value))
            self.nodes.append(None)
        return self._numbers[id(value)]

    def _node(self, value: Any) -> list[Any]:
        if isinstance(value, _SCALARS):
            return ["scalar", value]
        if isinstance(value, dict):
            if not all(isinstance(key, _SCALARS) for key in value):
                raise Unreadable("the pickle in the file makes no sense")
            return ["dict", [[key, self._number(item)] for key, item in value.items()]]
        if isinstance(value, list | tuple):
            return ["list", [self._number(item) for item in value]]
        if isinstance(value, Placeholder):
            return ["object", ".".join(value.path), self._number(value.state)]
        if isinstance(value, _Tensor):
            return ["tensor", *value.arguments]
        return ["opaque"]


def unpickle(data: bytes, count: int) -> dict[str, Any]:
    """Read the first pickles of the bytes.

    Returns:
        ``nodes``; ``values``, the numbers of the pickles' own nodes; ``storages``; and ``end``, the place
        behind the last pickle.
    """
    stream, storages, nodes = io.BytesIO(data), list[Any](), _Nodes()
    values = [nodes.add(Unpickler(stream, storages).load()) for _ in range(count)]
    return {"nodes": nodes.nodes, "values": values, "storages": storages, "end": stream.tell()}


def _limit_resources() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_PROCESSOR_S, _PROCESSOR_S))
    for kind in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        resource.setrlimit(kind, (0, 0))


def main() -> None:
    """Limit this process, read the pickles and print their values, or why they are refused."""
    _limit_resources()
    try:
        answer = unpickle(sys.stdin.buffer.read(), int(sys.argv[1]))
        document = json.dumps(answer)
    except Unsafe as error:
        document = json.dumps({"unsafe": str(error)})
    except Unreadable as error:
        document = json.dumps({"unreadable": str(error)})
    except TypeError as error:
        kind = "unsafe" if "is not callable" in str(error) else "unreadable"
        words = "would call what is not a function" if kind == "unsafe" else "holds a malformed pickle"
        document = json.dumps({kind: f"the file {words}"})
    except Exception:  # malformed pickles raise many kinds of errors
        document = json.dumps({"unreadable": "the pickle in the file is malformed"})
    sys.stdout.write(document)


if __name__ == "__main__":
    main()
