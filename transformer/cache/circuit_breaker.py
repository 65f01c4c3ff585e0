"""A circuit breaker: after several failures in a row, calls are skipped for a while."""

import time


class CircuitBreaker:
    """Opens after ``failures`` failures in a row, and then allows one call every ``pause_s`` seconds."""

    def __init__(self, pause_s: float, failures: int = 3) -> None:
        self._pause_s, self._failures = pause_s, failures
        self._failures_in_a_row, self._next_try_s = 0, 0.0

    @property
    def is_open(self) -> bool:
        """Whether calls are being skipped."""
        return self._failures_in_a_row >= self._failures

    def allows(self) -> bool:
        """Tell whether a call may be made now. While open, the caller that is allowed makes the probe."""
        if not self.is_open:
            return True
        now = time.monotonic()
        if now < self._next_try_s:
            return False
        self._next_try_s = now + self._pause_s
        return True

    def record_success(self) -> None:
        """Close the breaker."""
        self._failures_in_a_row = 0

    def record_failure(self) -> None:
        """Count a failure, and start the pause again."""
        self._failures_in_a_row += 1
        self._next_try_s = time.monotonic() + self._pause_s
