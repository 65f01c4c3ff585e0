"""Keeping away from a part that fails."""

import time

from transformer.cache.circuit_breaker import CircuitBreaker


def test_a_breaker_opens_after_failures_in_a_row() -> None:
    """Single failures between successes do not open it."""
    breaker = CircuitBreaker(rest_s=60, failures=2)
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()


def test_an_open_breaker_lets_one_probe_through() -> None:
    """After its rest one call is let through, and a success closes it."""
    breaker = CircuitBreaker(rest_s=0.05, failures=1)
    breaker.failed()
    time.sleep(0.06)
    assert breaker.allows()
    assert not breaker.allows()
    breaker.succeeded()
    assert breaker.allows()
