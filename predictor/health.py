"""Health of the model, known from real inferences only."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from pleura.errors import PleuraError
from predictor.engines.pool import EnginePool

_CHECK_INTERVAL_S: Final = 0.25
log = structlog.get_logger()


class ModelHealth:
    """The time of the model's last answer, and of the longest run: one engine may hang while others answer.

    Args:
        engines: The engines whose longest run counts.
        probe_after_s: Seconds without an answer, after which a probe runs.
        unready_after_s: Seconds without an answer, after which the model is not ready.
        lost_after_s: Seconds without an answer, after which the process must start again.
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
        """Note that the model answered just now."""
        self._answered_s = time.monotonic()

    @property
    def is_ready(self) -> bool:
        """Tell whether the model answered recently."""
        return self._stuck_s < self._unready_after_s

    @property
    def is_lost(self) -> bool:
        """Tell whether the model has been silent for so long that it must hang."""
        return self._stuck_s >= self._lost_after_s

    @property
    def _stuck_s(self) -> float:
        # other engines may still answer while one hangs, and its cores are lost
        return max(self._silent_s, self._engines.longest_run_s)

    @property
    def _silent_s(self) -> float:
        return time.monotonic() - self._answered_s

    async def watch(self, probe: Callable[[], Awaitable[None]]) -> None:
        """Run a probe whenever no request has run for some time, for ever.

        Args:
            probe: A real inference with a time limit. It notes its answer.
        """
        while True:
            if self._silent_s > self._probe_after_s:
                try:
                    await probe()
                except PleuraError as error:
                    log.warning("probe_failed", reason=str(error))
            self._log_change()
            await asyncio.sleep(_CHECK_INTERVAL_S)

    def _log_change(self) -> None:
        if self._was_ready != self.is_ready:
            self._was_ready = self.is_ready
            log.info("readiness_changed", ready=self.is_ready)
