"""Measures how long each stage of an answer takes."""

import time

from transformer.metrics import STAGES


class StageClock:
    """The milliseconds of the stages that have ended."""

    def __init__(self) -> None:
        self.latency_ms: dict[str, float] = {}
        self._since_s = time.perf_counter()

    def end(self, stage: str) -> None:
        """End the current stage under this name, and begin the next."""
        now = time.perf_counter()
        STAGES[stage].observe(now - self._since_s)
        self.latency_ms[stage] = round(1000 * (now - self._since_s), 3)
        self._since_s = now
