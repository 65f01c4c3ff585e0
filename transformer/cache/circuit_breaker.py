"""Keeping away, for a while, from a part that fails."""

import time


class CircuitBreaker:
    """Counts failures in a row; from ``failures`` on it lets one call through per ``rest_s`` seconds."""

    def __init__(self, rest_s: float, failures: int = 3) -> None:
        self._rest_s, self._failures = rest_s, failures
        self._in_a_row, self._next_try_s = 0, 0.0

    @property
    def is_open(self) -> bool:
        """Whether the part is being kept away from."""
        return self._in_a_row >= self._failures

    def allows(self) -> bool:
        """Say whether a call may be made now; while open, whoever is told so makes the probe."""
        if not self.is_open:
            return True
        now = time.monotonic()
        if now < self._next_try_s:
            return False
        self._next_try_s = now + self._rest_s
        return True

    def succeeded(self) -> None:
        """Note that the part answered."""
        self._in_a_row = 0

    def failed(self) -> None:
        """Note that the part did not answer."""
        self._in_a_row += 1
        self._next_try_s = time.monotonic() + self._rest_s
