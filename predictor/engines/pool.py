"""Choice of the engine: all cores for a single radiograph, one core each when several wait."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from predictor.engines.engine import GraphOutputs, Radiographs
from predictor.engines.thread import EngineThread

_END_S: Final = 2.0


class EnginePool:
    """Engines that share the cores.

    An engine with a thread on each core answers a single radiograph soonest. But its threads wait for each
    other at every layer, and a decoder that takes one core holds up all of them. Several radiographs are
    answered faster in parallel, each on one thread.

    Args:
        wide: The engine that computes on all cores. It runs alone.
        narrow: Engines of one core each; none where ``wide`` runs whole batches.
    """

    def __init__(self, wide: EngineThread, narrow: Sequence[EngineThread] = ()) -> None:
        self._wide, self._narrow = wide, narrow
        self._busy_since_s: dict[EngineThread, float] = {}
        self._released = asyncio.Event()

    @property
    def is_alive(self) -> bool:
        """Tell whether the threads of all engines still run."""
        return all(thread.is_alive for thread in (self._wide, *self._narrow))

    @property
    def longest_run_s(self) -> float:
        """Seconds since the oldest current run began; 0 without a run."""
        now = time.monotonic()
        return now - min(self._busy_since_s.values(), default=now)

    def close(self) -> None:
        """End the threads, so that none computes when the interpreter ends; leave one that hangs."""
        threads, end_s = (self._wide, *self._narrow), time.monotonic() + _END_S
        for thread in threads:
            thread.close()
        for thread in threads:
            thread.join(max(0.0, end_s - time.monotonic()))

    async def wait_for_idle_engine(self) -> None:
        """Wait until an engine is idle."""
        while self._wide in self._busy_since_s or len(self._busy_since_s) >= max(1, len(self._narrow)):
            self._released.clear()
            await self._released.wait()

    def reserve_engine(self, radiographs: int, is_urgent: bool = True) -> EngineThread:
        """Reserve an idle engine for so many waiting radiographs; ``run`` releases it."""
        is_alone = radiographs == 1 and is_urgent and not self._busy_since_s
        idle = [engine for engine in self._narrow if engine not in self._busy_since_s]
        engine = self._wide if is_alone or not idle else idle[0]
        self._busy_since_s[engine] = time.monotonic()
        return engine

    async def run(self, engine: EngineThread, radiographs: Radiographs) -> GraphOutputs:
        """Run a reserved engine, and raise what it raises."""
        try:
            return await engine.run(radiographs)
        finally:
            del self._busy_since_s[engine]
            self._released.set()
