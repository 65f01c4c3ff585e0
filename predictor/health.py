"""Whether the model answers, known from real inferences only."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from pleura.errors import PleuraError
from predictor.engines.pool import EnginePool

_LOOK_EVERY_S: Final = 0.25
log = structlog.get_logger()


class ModelHealth:
    """When the model last answered, and whether an engine hangs while another goes on answering.

    Args:
        engines: Whose longest run counts.
        probe_after_s: After so long without an answer the model is asked.
        unready_after_s: After so long it is not ready: an engine that hangs is unready within ten seconds.
        lost_after_s: After so long nobody expects it to answer again: the process is to be started anew.
    """

    def __init__(
        self,
        engines: EnginePool,
        probe_after_s: float = 3.0,
        unready_after_s: float = 8.0,
        lost_after_s: float = 60.0,
    ) -> None:
        self._engines = engines
        self._probe_after_s, self._unready_after_s = probe_after_s, unready_after_s
        self._lost_after_s = lost_after_s
        self._answered_s = -float("inf")
        self._was_ready = False

    def note_answer(self) -> None:
        """The model answered just now."""
        self._answered_s = time.monotonic()

    @property
    def is_ready(self) -> bool:
        """Whether the model answered lately."""
        return self._stuck_s < self._unready_after_s

    @property
    def is_lost(self) -> bool:
        """Whether the model has been silent for so long that it must hang."""
        return self._stuck_s >= self._lost_after_s

    @property
    def _stuck_s(self) -> float:
        return max(self._silent_s, self._engines.longest_run_s)

    @property
    def _silent_s(self) -> float:
        return time.monotonic() - self._answered_s

    async def watch(self, probe: Callable[[], Awaitable[None]]) -> None:
        """Ask the model itself whenever nobody else does, for ever.

        Args:
            probe: A real inference with a time limit, which notes its answer.
        """
        while True:
            if self._silent_s > self._probe_after_s:
                try:
                    await probe()
                except PleuraError as error:
                    log.warning("probe_failed", reason=str(error))
            self._tell()
            await asyncio.sleep(_LOOK_EVERY_S)

    def _tell(self) -> None:
        if self._was_ready != self.is_ready:
            self._was_ready = self.is_ready
            log.info("readiness_changed", ready=self.is_ready)
