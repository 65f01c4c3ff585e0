"""How much is let through."""

import pytest

from auth_proxy.limits import InFlight, RateExceeded, RateLimit
from pleura.errors import Overloaded


class Clock:
    """A clock that stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_principal_may_burst_and_then_has_its_rate() -> None:
    """After the burst, one request more for every interval that passes."""
    clock = Clock()
    limit = RateLimit(2.0, 3, clock)
    for _ in range(3):
        limit.take("a")
    with pytest.raises(RateExceeded) as caught:
        limit.take("a")
    assert caught.value.headers == {"retry-after": "1"}
    clock.now += 0.5
    limit.take("a")
    with pytest.raises(RateExceeded):
        limit.take("a")


def test_one_principal_does_not_use_up_what_another_has() -> None:
    """Each has a bucket of its own."""
    limit = RateLimit(1.0, 1, Clock())
    limit.take("a")
    limit.take("b")


def test_a_slow_rate_says_when_to_come_back() -> None:
    """Retry-After is the time until a request is let through again."""
    limit = RateLimit(0.1, 1, Clock())
    limit.take("a")
    with pytest.raises(RateExceeded) as caught:
        limit.take("a")
    assert caught.value.headers == {"retry-after": "10"}


def test_principals_are_not_remembered_without_end() -> None:
    """Of many principals only so many are remembered."""
    limit = RateLimit(1.0, 1, Clock(), max_principals=10)
    for n in range(1000):
        limit.take(str(n))
    assert len(limit) == 10


def test_what_is_in_flight_is_bounded() -> None:
    """One more than the bound is turned away; a place that is left can be taken."""
    bound = InFlight(1)
    with bound.slot(), pytest.raises(Overloaded), bound.slot():
        pass
    with bound.slot():
        pass
