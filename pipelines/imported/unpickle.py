"""Read a pickle without running it: a name in it stays a name, and only plain values are built.

Python's own unpickler imports what a pickle names and calls it. This one knows the few operations that
``torch.save`` writes, builds dictionaries, lists and numbers, and calls nothing but the builders it is given.
"""

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

_MOST_OPERATIONS: Final = 2_000_000
_Key = str | int | float | bool | None


class UnreadableCheckpoint(Exception):
    """The file is no PyTorch checkpoint, is damaged, or holds what is not read here."""


class UnsafeCheckpoint(UnreadableCheckpoint):
    """The file asks for something to be called that no checkpoint of a network needs."""


@dataclass(frozen=True)
class Name:
    """A class or function that a pickle names; it is never imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass
class Instance:
    """An object of a class that is not imported: only its state is there to be read."""

    of: Name
    state: dict[str, Any] = field(default_factory=dict)


Builder = Callable[..., Any]
_NEW: Final[Mapping[str, Callable[[], Any]]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": set,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
}
_LITERALS: Final = frozenset(
    (
        *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
        *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    )
)
_IGNORED: Final = frozenset(("PROTO", "FRAME", "STOP"))


class _Machine:
    """The stack, the marks and the memo of one pickle; one method for each operation."""

    def __init__(self, builders: Mapping[Name, Builder], persistent: Callable[[Any], Any]) -> None:
        self._builders, self._persistent = builders, persistent
        self.stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def mark(self, _: Any) -> None:
        self._below.append(self.stack)
        self.stack = []

    def _since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self._below.pop()
        return items

    def pop(self, _: Any) -> None:
        self.stack.pop()

    def pop_mark(self, _: Any) -> None:
        self._since_mark()

    def put(self, index: int) -> None:
        self._memo[index] = self.stack[-1]

    def memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self.stack[-1]

    def get(self, index: int) -> None:
        self.stack.append(self._memo[index])

    def tuple_of_marked(self, _: Any) -> None:
        items = self._since_mark()
        self.stack.append(tuple(items))

    def tuple_of(self, count: int) -> None:
        items = [self.stack.pop() for _ in range(count)]
        self.stack.append(tuple(reversed(items)))

    def append(self, _: Any) -> None:
        self._fill([self.stack.pop()])

    def extend(self, _: Any) -> None:
        self._fill(self._since_mark())

    def _fill(self, items: list[Any]) -> None:
        _require(type(self.stack[-1]) is list)
        self.stack[-1].extend(items)

    def add_items(self, _: Any) -> None:
        items = self._since_mark()
        _require(type(self.stack[-1]) is set and all(isinstance(item, _Key) for item in items))
        self.stack[-1].update(items)

    def set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set([key, value])

    def set_items(self, _: Any) -> None:
        self._set(self._since_mark())

    def _set(self, items: list[Any]) -> None:
        keys, values = items[::2], items[1::2]
        # Only plain keys: the hash of a tuple of tuples of tuples descends as deep as the file likes.
        _require(type(self.stack[-1]) is dict and all(isinstance(key, _Key) for key in keys))
        self.stack[-1].update(zip(keys, values, strict=True))

    def name(self, text: str) -> None:
        module, name = text.split(" ", 1)
        self.stack.append(Name(module, name))

    def stacked_name(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        _require(type(name) is str and type(module) is str)
        self.stack.append(Name(module, name))

    def reduce(self, _: Any) -> None:
        arguments, called = self.stack.pop(), self.stack.pop()
        _require(type(arguments) is tuple)
        if not isinstance(called, Name) or called not in self._builders:
            raise UnsafeCheckpoint(f"the file would call {_shown(called)}: it is refused")
        self.stack.append(self._builders[called](*arguments))

    def new_object(self, _: Any) -> None:
        self.stack.pop()  # what its class would be given
        called = self.stack.pop()
        _require(isinstance(called, Name))
        self.stack.append(Instance(called))

    def build(self, _: Any) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Instance) and type(state) is dict:
            self.stack[-1].state.update(state)

    def persistent(self, _: Any) -> None:
        self.stack.append(self._persistent(self.stack.pop()))


_OPERATIONS: Final[Mapping[str, Callable[[_Machine, Any], None]]] = {
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": _Machine.pop_mark,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memoize,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "TUPLE": _Machine.tuple_of_marked,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "APPEND": _Machine.append,
    "APPENDS": _Machine.extend,
    "ADDITEMS": _Machine.add_items,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_items,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.stacked_name,
    "REDUCE": _Machine.reduce,
    "NEWOBJ": _Machine.new_object,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent,
}


def _require(holds: bool) -> None:
    if not holds:
        raise UnreadableCheckpoint("the pickle in the file makes no sense")


def _shown(value: object) -> str:
    return repr(str(value)[:80]) if isinstance(value, Name) else "what is no function"


def _step(machine: _Machine, operation: str, argument: Any) -> None:
    if operation in _LITERALS:
        machine.stack.append(argument)
    elif operation in _NEW:
        machine.stack.append(_NEW[operation]())
    elif operation in _OPERATIONS:
        _OPERATIONS[operation](machine, argument)
    elif operation not in _IGNORED:
        raise UnreadableCheckpoint(f"the pickle in the file uses {operation}, which torch.save never writes")


def read_pickle(stream: BinaryIO, builders: Mapping[Name, Builder], persistent: Callable[[Any], Any]) -> Any:
    """Read one pickle, and leave the stream behind it.

    Args:
        stream: Where the pickle begins.
        builders: What may be called, by its name; nothing else is.
        persistent: What stands for a persistent identifier.

    Raises:
        UnsafeCheckpoint: It would call something else.
        UnreadableCheckpoint: It is malformed, or no such pickle as ``torch.save`` writes.
    """
    machine = _Machine(builders, persistent)
    try:
        for count, (operation, argument, _) in enumerate(pickletools.genops(stream)):
            _require(count < _MOST_OPERATIONS)
            _step(machine, operation.name, argument)
        (value,) = machine.stack
    except (ValueError, IndexError, KeyError, TypeError) as error:  # what malformed operations come to
        raise UnreadableCheckpoint("the pickle in the file is malformed") from error
    return value
