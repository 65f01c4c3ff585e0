"""A decoder pool as the service starts it, with what its workers cost laid open."""

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pleura.deadline import Deadline
from pleura.errors import PleuraError
from tests.attacks.pictures import picture, seen
from tests.transformer.files import png
from transformer.decoding import DecoderPool
from transformer.settings import Settings

_TICKS = os.sysconf("SC_CLK_TCK")
_GOOD = png(picture())
_DEFAULTS = {name: field.default for name, field in Settings.model_fields.items()}


@dataclass(frozen=True)
class Outcome:
    """What came of one file: a tensor or an error, and what it cost (None where the worker was ended)."""

    tensor: NDArray[np.uint8] | None
    error: PleuraError | None
    processor_s: float | None
    peak_mb: float | None


class Decoders:
    """The pool with one worker, asked from outside of its event loop."""

    def __init__(self, runner: asyncio.Runner, pool: DecoderPool) -> None:
        self._runner, self._pool = runner, pool

    def read(self, file: bytes) -> Outcome:
        """Have one file read, then see that a good one is read after it."""
        before = self._worker()
        began = _processor_s(before)
        _forget_peak(before)
        tensor: NDArray[np.uint8] | None = None
        error: PleuraError | None = None
        try:
            tensor = self._runner.run(self._pool.prepare(file, Deadline.after(60.0)))
        except PleuraError as raised:
            error = raised
        cost: tuple[float | None, float | None] = (None, None)
        with contextlib.suppress(OSError, StopIteration, ProcessLookupError):
            cost = _processor_s(before) - began, _peak_mb(before)
        good = self._runner.run(self._pool.prepare(_GOOD, Deadline.after(60.0)))
        np.testing.assert_array_equal(good, seen())
        return Outcome(tensor, error, *cost)

    def _worker(self) -> int:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            task = Path(f"/proc/{self._pool.nursery_pid}/task/{self._pool.nursery_pid}/children")
            if pids := task.read_text().split():
                return int(pids[-1])
            self._runner.run(asyncio.sleep(0.02))
        raise AssertionError("there is no worker")


@contextlib.contextmanager
def decoders() -> Iterator[Decoders]:
    """One worker with the limits that are the service's defaults."""
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
            yield Decoders(runner, pool)
        finally:
            runner.run(pool.close())


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _peak_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
