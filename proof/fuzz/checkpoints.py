"""The targets of fuzzing that read checkpoints of PyTorch, which strangers publish.

A pickle can name any function, and Python's unpickler calls it. The worker that reads pickles here calls
nothing, so no event of the interpreter may tell of an import, a file, a process or a connection.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from pipelines.imported import unpickle_worker
from pipelines.imported.state import find_arrays
from pipelines.imported.torch_file import read_checkpoint
from pipelines.imported.unpickle import UnreadableCheckpoint
from pipelines.imported.unpickle_worker import Unreadable, Unsafe
from proof.fuzz.memory import bounded_memory
from proof.lab.torch_writer import Global, PickledCall, legacy_file, module, pickled, state_dict, zip_file

_HARMFUL: Final = ("import", "open", "exec", "compile", "os.", "subprocess.", "socket.", "ctypes.", "shutil.")
_MEMORY_BYTES: Final = 2**29
_ARRAYS: Final[dict[str, np.ndarray[Any, Any]]] = {
    "conv0.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "norm0.running_mean": np.ones(2, np.float16),
    "norm0.num_batches_tracked": np.array(7, np.int64),
}


class HarmfulPickle(Exception):
    """A pickle did what no pickle may do here."""


class _Watch:
    """Records the events of the interpreter while ``is_on``."""

    def __init__(self) -> None:
        self.is_on, self.is_installed, self.events = False, False, list[str]()

    def _record(self, event: str, _: Any) -> None:
        if self.is_on and event.startswith(_HARMFUL):
            self.events.append(event)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record from now to the end of the block."""
        if not self.is_installed:
            # It cannot be removed and costs time at each event, so it is installed when it is needed first.
            sys.addaudithook(self._record)
            self.is_installed = True
        self.events.clear()
        self.is_on = True
        try:
            yield
        finally:
            self.is_on = False


def make_checkpoint_seeds() -> Iterator[bytes]:
    """Make checkpoints of both formats: a state dict, a module, and a training run around one."""
    whole = state_dict(_ARRAYS)
    for content in (whole, {"epoch": 3, "state_dict": whole}, module(_ARRAYS)):
        yield zip_file(content, _ARRAYS)
        yield legacy_file(content, _ARRAYS)


def make_pickle_seeds() -> Iterator[bytes]:
    """Make pickles as checkpoints hold them, and one that would run a program."""
    yield pickled(state_dict(_ARRAYS))
    yield pickled(module(_ARRAYS))
    yield pickled(PickledCall(Global("os", "system"), ("true",)))


def check_checkpoint(data: bytes) -> str:
    """Check that a checkpoint is refused, or gives arrays that are no larger than the file."""
    try:
        arrays = find_arrays(read_checkpoint(data))
    except UnreadableCheckpoint as error:
        return f"refused_{type(error).__name__}"
    if any(array.size > len(data) for array in arrays.values()):
        raise HarmfulPickle("an array of more numbers than the file has bytes")
    return "read"


def check_pickle(data: bytes) -> str:
    """Check that the worker runs nothing that a pickle names, and that its answer is JSON."""
    # A few bytes can ask the unpickler for gigabytes; the worker has such a limit for its whole life.
    with bounded_memory(_MEMORY_BYTES), _WATCH.recording():
        outcome = _unpickle(data)
    if _WATCH.events:
        raise HarmfulPickle(f"the interpreter told of {_WATCH.events[0]}")
    return outcome


def _unpickle(data: bytes) -> str:
    try:
        json.dumps(unpickle_worker.unpickle(data, 1))
    except Unsafe:
        return "refused_unsafe"
    except Unreadable:
        return "refused_unreadable"
    # The worker's own main catches everything too: malformed pickles raise many kinds of errors.
    except Exception:
        return "refused_malformed"
    return "read"


_WATCH: Final = _Watch()
for _seed in make_pickle_seeds():
    _unpickle(_seed)  # what the first run imports, such as a codec, is not the doing of a pickle
