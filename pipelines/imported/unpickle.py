"""Read pickles without running anything that they name, in a process with little memory and time.

Python's unpickler imports what a pickle names and calls it. The worker gives the unpickler inert classes
instead. This module starts the worker and reads its JSON: a crash or a bomb ends the worker only.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_WORKER: Final = Path(__file__).with_name("unpickle_worker.py")
_MOST_BYTES: Final = 1 << 25
_LIMIT_S: Final = 120.0


class UnreadableCheckpoint(Exception):
    """The file is not a PyTorch checkpoint, is damaged, or holds something that is not read here."""


class UnsafeCheckpoint(UnreadableCheckpoint):
    """The file calls something that no checkpoint of a network needs."""


@dataclass
class InertObject:
    """An object of a class that is not imported. Only its state can be read."""

    class_name: str
    state: dict[Any, Any]


@dataclass(frozen=True)
class StorageArguments:
    """What a pickle says about a storage; nothing of it is checked yet.

    ``view`` is the first element and the length of a part of the storage; None means all of it.
    """

    module: str
    type: str
    key: str
    length: int
    view: tuple[int, int] | None


@dataclass(frozen=True)
class TensorArguments:
    """What a pickle says about a tensor; nothing of it is checked yet. ``storage`` is a place in a list."""

    storage: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class UnpickledValues:
    """The values of some pickles, the storages that they refer to, and the place behind the last pickle."""

    values: list[Any]
    storages: tuple[StorageArguments, ...]
    end: int


def unpickle(data: bytes | memoryview, count: int = 1) -> UnpickledValues:
    """Read the first pickles of the bytes.

    Args:
        data: The pickles; other bytes may follow. Only the first 32 MiB are looked at.
        count: How many pickles to read.

    Returns:
        The values: scalars, lists, dictionaries, ``InertObject`` and ``TensorArguments``. A tuple is a list
        too. None stands for everything else.

    Raises:
        UnsafeCheckpoint: A pickle calls something that no checkpoint needs.
        UnreadableCheckpoint: A pickle is malformed, or ``torch.save`` does not write such a pickle.
    """
    # Without environment variables, site packages and the current folder, nothing foreign can be imported.
    command = [sys.executable, "-I", "-S", "-B", str(_WORKER), str(count)]
    try:
        done = subprocess.run(  # noqa: S603  # our own script, by its path
            command,
            input=bytes(data[:_MOST_BYTES]),
            capture_output=True,
            timeout=_LIMIT_S,
            env={},
            check=False,
        )
        answer = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:  # a worker that crashed printed no JSON
        raise UnreadableCheckpoint("the pickle in the file takes too much memory or time") from error
    if "unsafe" in answer:
        raise UnsafeCheckpoint(answer["unsafe"])
    if "unreadable" in answer:
        raise UnreadableCheckpoint(answer["unreadable"])
    values = _link_nodes(answer["nodes"])
    storages = tuple(
        StorageArguments(module, kind, key, length, None if view is None else (view[0], view[1]))
        for module, kind, key, length, view in answer["storages"]
    )
    return UnpickledValues([values[number] for number in answer["values"]], storages, answer["end"])


def _link_nodes(nodes: list[list[Any]]) -> list[Any]:
    """Make a value of each node, then put the values into each other."""
    values = [_EMPTY_VALUES[node[0]](*node[1:]) for node in nodes]
    for (kind, *content), value in zip(nodes, values, strict=True):
        if kind == "dict":
            value.update((key, values[number]) for key, number in content[0])
        elif kind == "list":
            value.extend(values[number] for number in content[0])
        elif kind == "object":
            value.state = values[content[1]]
    return values


_EMPTY_VALUES: Final[dict[str, Callable[..., Any]]] = {
    "scalar": lambda value: value,
    "dict": lambda _: {},
    "list": lambda _: [],
    "object": lambda name, _: InertObject(name, {}),
    "tensor": lambda storage, offset, shape, strides: TensorArguments(
        storage, offset, tuple(shape), tuple(strides)
    ),
    "opaque": lambda: None,
}
