"""Which engine runs what: all cores on the radiograph that is alone, one engine a core when several wait."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from predictor.engines.engine import GraphOutputs, Radiographs
from predictor.engines.thread import EngineThread

_END_S: Final = 2.0


class EnginePool:
    """Engines that share the cores.

    Two threads in step answer a lone radiograph soonest. But they wait for each other at every layer, and
    whatever else runs on the machine (a decoder, say) holds up both; several radiographs are answered faster
    side by side, each on a thread of its own.

    Args:
        wide: The engine that computes on all cores; it runs alone.
        narrow: Engines of one core each; none where batches go to ``wide`` as a whole.
    """

    def __init__(self, wide: EngineThread, narrow: Sequence[EngineThread] = ()) -> None:
        self._wide, self._narrow = wide, narrow
        self._busy_since_s: dict[EngineThread, float] = {}
        self._freed = asyncio.Event()

    @property
    def is_alive(self) -> bool:
        """Whether the threads of all engines are there still."""
        return all(each.is_alive for each in (self._wide, *self._narrow))

    @property
    def longest_run_s(self) -> float:
        """For how long the run that began first has been going on; 0 where none is."""
        now = time.monotonic()
        return now - min(self._busy_since_s.values(), default=now)

    def close(self) -> None:
        """End the threads, so that none computes when the interpreter ends; one that hangs is left alone."""
        threads, end_s = (self._wide, *self._narrow), time.monotonic() + _END_S
        for each in threads:
            each.close()
        for each in threads:
            each.join(max(0.0, end_s - time.monotonic()))

    async def wait_for_room(self) -> None:
        """Wait until an engine is idle."""
        while self._wide in self._busy_since_s or len(self._busy_since_s) >= max(1, len(self._narrow)):
            self._freed.clear()
            await self._freed.wait()

    def engine_for(self, radiographs: int, is_urgent: bool = True) -> EngineThread:
        """Reserve an idle engine where so many radiographs wait; ``run`` gives it back."""
        is_alone = radiographs == 1 and is_urgent and not self._busy_since_s
        idle = [each for each in self._narrow if each not in self._busy_since_s]
        engine = self._wide if is_alone or not idle else idle[0]
        self._busy_since_s[engine] = time.monotonic()
        return engine

    async def run(self, engine: EngineThread, radiographs: Radiographs) -> GraphOutputs:
        """Run a reserved engine; whatever it raises is raised here."""
        try:
            return await engine.run(radiographs)
        finally:
            del self._busy_since_s[engine]
            self._freed.set()
