"""Sample the memory, descriptors and threads of the processes of a running stack."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import psutil  # type: ignore[import-untyped]

from pleura.local.state_folder import ProcessId
from proof.lab.running_stack import RunningStack, find_descendants

_MB: Final = 2**20


@dataclass(frozen=True)
class ProcessSample:
    """The resources of one process at one time."""

    process: ProcessId
    part: str
    at_s: float
    rss_mb: float
    descriptors: int
    threads: int


def find_processes(stack: RunningStack) -> dict[ProcessId, str]:
    """Find every process of the stack, with the name of its part. A part's child is ``part/child``."""
    processes = {ProcessId.read(stack.process.pid): "up"}
    for name, part in stack.record.parts.items():
        parent, *children = find_descendants(part.process.pid)
        processes[parent] = name
        processes |= dict.fromkeys(children, f"{name}/child")
    return processes


def sample_processes(stack: RunningStack) -> Iterator[ProcessSample]:
    """Sample every process of the stack once."""
    for process, part in find_processes(stack).items():
        try:
            status = psutil.Process(process.pid)
            with status.oneshot():
                yield ProcessSample(
                    process,
                    part,
                    time.monotonic(),
                    status.memory_info().rss / _MB,
                    status.num_fds(),
                    status.num_threads(),
                )
        except psutil.Error:  # the process has just ended
            continue


class ProcessWatcher:
    """Samples every process of a stack at an interval."""

    def __init__(self, stack: RunningStack, interval_s: float = 1.0) -> None:
        self._stack, self._interval_s = stack, interval_s
        self.samples: list[ProcessSample] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Sample until ``stop`` is set."""
        while not stop.is_set():
            # In a thread, because reading /proc blocks, and the load runs on this loop.
            self.samples += await asyncio.to_thread(lambda: list(sample_processes(self._stack)))
            await asyncio.sleep(self._interval_s)


def compute_mean(values: Sequence[float]) -> float:
    """Compute the mean. It is 0 without values."""
    return sum(values) / len(values) if values else 0.0
