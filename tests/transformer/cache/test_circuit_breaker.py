"""A circuit breaker skips calls after failures."""

import time

from transformer.cache.circuit_breaker import CircuitBreaker


def test_a_breaker_opens_after_failures_in_a_row() -> None:
    """A single failure between successes does not open it."""
    breaker = CircuitBreaker(pause_s=60, failures=2)
    breaker.record_failure()
    breaker.record_success()
    breaker.record_failure()
    assert breaker.allows()
    breaker.record_failure()
    assert not breaker.allows()


def test_an_open_breaker_allows_one_probe() -> None:
    """After the pause one call is allowed, and its success closes the breaker."""
    breaker = CircuitBreaker(pause_s=0.05, failures=1)
    breaker.record_failure()
    time.sleep(0.06)
    assert breaker.allows()
    assert not breaker.allows()
    breaker.record_success()
    assert breaker.allows()
