"""What the processes of a running stack cost: memory, descriptors, threads."""

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
    """One process at one time."""

    process: ProcessId
    part: str
    at_s: float
    rss_mb: float
    descriptors: int
    threads: int


def find_processes(stack: RunningStack) -> dict[ProcessId, str]:
    """Every process of the stack, with the name of its part; what a part started is ``part/child``."""
    found = {ProcessId.read(stack.process.pid): "up"}
    for name, part in stack.record.parts.items():
        parent, *children = find_descendants(part.process.pid)
        found[parent] = name
        found |= dict.fromkeys(children, f"{name}/child")
    return found


def sample_processes(stack: RunningStack) -> Iterator[ProcessSample]:
    """Look at every process of the stack once."""
    for process, part in find_processes(stack).items():
        try:
            of = psutil.Process(process.pid)
            with of.oneshot():
                yield ProcessSample(
                    process,
                    part,
                    time.monotonic(),
                    of.memory_info().rss / _MB,
                    of.num_fds(),
                    of.num_threads(),
                )
        except psutil.Error:  # it has just ended
            continue


class ProcessWatcher:
    """Looks at every process of a stack again and again."""

    def __init__(self, stack: RunningStack, every_s: float = 1.0) -> None:
        self._stack, self._every_s = stack, every_s
        self.seen: list[ProcessSample] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Look until told to stop."""
        while not stop.is_set():
            self.seen += await asyncio.to_thread(lambda: list(sample_processes(self._stack)))
            await asyncio.sleep(self._every_s)


def compute_mean(values: Sequence[float]) -> float:
    """The mean; 0 where there is nothing."""
    return sum(values) / len(values) if values else 0.0
