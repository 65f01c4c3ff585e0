"""A decoder pool with the service's settings, which measures what each file costs a worker."""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pleura.deadline import Deadline
from pleura.errors import PleuraError
from proof.lab.files import encode_png
from proof.lab.pictures import make_picture, make_picture_tensor
from transformer.decoding.pool import DecoderPool
from transformer.settings import TransformerSettings

_TICKS = os.sysconf("SC_CLK_TCK")
_GOOD_FILE = encode_png(make_picture())
# A worker that is ended leaves no figures, so the last sample must be young.
_SAMPLE_EVERY_S = 0.005
_DEFAULTS = {name: field.default for name, field in TransformerSettings.model_fields.items()}


def find_spawner() -> int:
    """Find the process id of the spawner that a pool in this process has started."""
    for pid in find_children(os.getpid()):
        with contextlib.suppress(OSError):
            if b"transformer.decoding.worker" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                return pid
    raise AssertionError("no spawner is running")


def find_workers() -> list[int]:
    """Find the process ids of the workers of a pool in this process."""
    return find_children(find_spawner())


def find_children(parent: int) -> list[int]:
    """Find the running processes that a process has started, ordered by id."""
    children = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name of a process, in brackets, may itself hold spaces and brackets.
            state, ppid = stat.read_text().rpartition(")")[2].split()[:2]
            if int(ppid) == parent and state != "Z":
                children.append(int(stat.parent.name))
    return sorted(children)


@dataclass
class DecodeCost:
    """The cost of one file. For a worker that was ended it is the last sample, some milliseconds old."""

    wall_s: float = 0.0
    processor_s: float = 0.0
    peak_mb: float = 0.0
    is_ended: bool = False


@dataclass(frozen=True)
class DecodeOutcome:
    """The result for one file: a tensor or an error, its cost, and whether a good file was read next."""

    tensor: NDArray[np.uint8] | None
    error: PleuraError | None
    cost: DecodeCost
    is_good_next: bool


class MeasuredDecoders:
    """A pool with one worker, called from outside of its event loop."""

    def __init__(self, runner: asyncio.Runner, pool: DecoderPool) -> None:
        self._runner, self._pool = runner, pool

    def read(self, file: bytes) -> DecodeOutcome:
        """Decode one file, then a good file."""
        with _measure_worker(self._wait_for_worker()) as cost:
            tensor, error = self._prepare(file)
        # A hostile file must not leave the pool without a worker, or with a wrong picture.
        good, _ = self._prepare(_GOOD_FILE)
        is_good_next = good is not None and np.array_equal(good, make_picture_tensor())
        return DecodeOutcome(tensor, error, cost, is_good_next)

    def _prepare(self, file: bytes) -> tuple[NDArray[np.uint8] | None, PleuraError | None]:
        try:
            # Longer than the limits of the pool: these must end a file, not the deadline.
            return self._runner.run(self._pool.prepare(file, Deadline.after(60.0))).tensor, None
        except PleuraError as error:
            return None, error

    def _wait_for_worker(self) -> int:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if pids := find_workers():
                return pids[-1]
            self._runner.run(asyncio.sleep(0.02))
        raise AssertionError("no worker has started")


PROCESSOR_S: float = _DEFAULTS["decode_processor_s"]
WALL_S: float = _DEFAULTS["decode_timeout_s"]
MEMORY_MB: float = _DEFAULTS["decode_memory_mb"]


@contextlib.contextmanager
def measured_decoders() -> Iterator[MeasuredDecoders]:
    """Start one worker with the default limits of the service."""
    with asyncio.Runner() as runner:
        pool = DecoderPool(
            1,
            _DEFAULTS["decode_timeout_s"],
            _DEFAULTS["decode_memory_mb"],
            _DEFAULTS["max_pixels_m"] * 10**6,
            processor_s=_DEFAULTS["decode_processor_s"],
        )
        runner.run(pool.start())
        try:
            yield MeasuredDecoders(runner, pool)
        finally:
            runner.run(pool.close())


@contextlib.contextmanager
def _measure_worker(pid: int) -> Iterator[DecodeCost]:
    """Sample the cost of a worker until the block ends. A worker that has ended can no longer be read."""
    cost, is_over = DecodeCost(), threading.Event()
    began_s, processor_before_s = time.monotonic(), _read_processor_s(pid)
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # resets the peak memory

    def take_sample() -> None:
        try:
            cost.processor_s, cost.peak_mb = _read_processor_s(pid) - processor_before_s, _read_peak_mb(pid)
        except (OSError, StopIteration):  # the process is gone, or a zombie without memory
            cost.is_ended = True

    def keep_sampling() -> None:
        while not is_over.wait(_SAMPLE_EVERY_S):
            take_sample()

    watcher = threading.Thread(target=keep_sampling)
    watcher.start()
    yield cost
    cost.wall_s = time.monotonic() - began_s
    is_over.set()
    watcher.join()
    take_sample()


def _read_processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _read_peak_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
