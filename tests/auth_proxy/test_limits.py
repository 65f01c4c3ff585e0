"""How much is let through."""

import math
from collections.abc import Generator
from contextlib import ExitStack, suppress
from heapq import heappop, heappush

import pytest

from auth_proxy.limits import InFlightLimit, RateExceeded, RateLimit
from pleura.errors import Overloaded
from proof.lab.clock import ManualClock


def test_a_principal_has_a_burst_and_then_its_rate() -> None:
    """After the burst, each interval allows one more request."""
    clock = ManualClock(0.0)
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


def test_principals_do_not_share_a_bucket() -> None:
    """Each principal has its own bucket."""
    limit = RateLimit(1.0, 1, ManualClock(0.0))
    limit.take("a")
    limit.take("b")


def test_a_slow_rate_says_when_to_come_back() -> None:
    """Retry-After is the time until the next request is allowed."""
    limit = RateLimit(0.1, 1, ManualClock(0.0))
    limit.take("a")
    with pytest.raises(RateExceeded) as caught:
        limit.take("a")
    assert caught.value.headers == {"retry-after": "10"}


def test_the_number_of_remembered_principals_is_bounded() -> None:
    """The limit remembers a bounded number of principals."""
    limit = RateLimit(1.0, 1, ManualClock(0.0), max_principals=10)
    for n in range(1000):
        limit.take(str(n))
    assert len(limit) == 10


def test_requests_in_flight_are_limited() -> None:
    """A request beyond the limit is refused. A slot that is free again can be taken."""
    limit = InFlightLimit(1)
    with limit.hold_slot(), pytest.raises(Overloaded), limit.hold_slot():
        pass
    with limit.hold_slot():
        pass


def _answer(limit: InFlightLimit, clock: ManualClock, requests: int, seconds: float) -> None:
    """Let requests in together, and answer them all after some seconds."""
    with ExitStack() as places:
        for _ in range(requests):
            slot = places.enter_context(limit.hold_slot())
            slot.body_ended_s = clock()
        clock.now += seconds


def test_the_limit_adapts_to_the_speed_of_answers() -> None:
    """The limit falls to what is answered in time, not below the minimum, and rises again."""
    clock = ManualClock(0.0)
    limit = InFlightLimit(64, 2.0, clock)
    for falls_to in (32, 16, 8, 4, 4):
        _answer(limit, clock, limit.limit, 10.0)
        assert limit.limit == falls_to
        with pytest.raises(Overloaded):
            _answer(limit, clock, falls_to + 1, 0.0)
    for _ in range(1000):
        _answer(limit, clock, limit.limit, 0.5)
    assert limit.limit == 64


def test_a_slow_caller_does_not_lower_the_limit() -> None:
    """Time counts from the end of the request. A request that never arrives whole counts for nothing."""
    clock = ManualClock(0.0)
    limit = InFlightLimit(64, 2.0, clock)
    with limit.hold_slot():
        clock.now += 100.0
    with limit.hold_slot() as slot:
        clock.now += 100.0
        slot.body_ended_s = clock()
    assert limit.limit == 64


def test_requests_let_in_before_the_limit_fell_do_not_lower_it_again() -> None:
    """64 late answers of the same moment lower the limit once, not 64 times."""
    clock = ManualClock(0.0)
    limit = InFlightLimit(64, 2.0, clock)
    _answer(limit, clock, 64, 2.5)
    assert limit.limit == int(64 * 2 / 2.5)


def test_immediate_failures_do_not_raise_the_limit() -> None:
    """Immediate failures do not raise the limit."""
    clock = ManualClock(0.0)
    limit = InFlightLimit(64, 2.0, clock)
    _answer(limit, clock, 64, 10.0)
    clock.now += 10.0
    for _ in range(1000):
        _fail(limit, clock)
    assert limit.limit == 32


def test_a_request_that_is_slow_by_itself_does_not_lower_the_limit() -> None:
    """With few requests in flight, a slow request does not lower the limit."""
    clock = ManualClock(0.0)
    limit = InFlightLimit(64, 2.0, clock)
    for _ in range(10):
        _answer(limit, clock, 8, 10.0)
    assert limit.limit == 64


def _fail(limit: InFlightLimit, clock: ManualClock) -> None:
    with ExitStack() as places:
        for _ in range(limit.limit):
            places.enter_context(suppress(Overloaded))
            places.enter_context(limit.hold_slot()).body_ended_s = clock()
            places.callback(_refuse)


def _refuse() -> None:
    raise Overloaded("too many")


def _answered_in_time(patience_s: float, timeout_s: float, rate_per_s: float) -> int:
    """Offer three times what a server can answer for a minute, and count the answers of the last 20 s.

    The server answers one request after the other, also those that nobody waits for any more.
    """
    clock = ManualClock(0.0)
    ends: list[tuple[float, int, Generator[None], bool]] = []
    limit, free_s, answered = InFlightLimit(64, patience_s, clock), 0.0, 0
    for number in range(int(3 * rate_per_s * 60)):
        at_s = number / (3 * rate_per_s)
        while ends and ends[0][0] <= at_s:
            clock.now, _, place, is_answered = heappop(ends)
            answered += is_answered and clock.now >= 40
            if is_answered:
                next(place, None)
            else:
                place.close()
        clock.now = at_s
        place = _place(limit, clock)
        with suppress(Overloaded):
            next(place)
            free_s = max(free_s, at_s) + 1 / rate_per_s
            end_s = min(free_s, at_s + timeout_s)
            heappush(ends, (end_s, number, place, end_s == free_s))
    return answered


def _place(limit: InFlightLimit, clock: ManualClock) -> Generator[None]:
    with limit.hold_slot() as slot:
        slot.body_ended_s = clock()
        yield


@pytest.mark.parametrize(("patience_s", "timeout_s", "rate_per_s"), [(0.5, 2, 20), (2, 10, 20), (2, 10, 3)])
def test_overload_costs_no_goodput(patience_s: float, timeout_s: float, rate_per_s: float) -> None:
    """Under overload, at least 90 % of the server's capacity is answered in time."""
    assert _answered_in_time(patience_s, timeout_s, rate_per_s) >= 0.9 * rate_per_s * 20


@pytest.mark.parametrize(("timeout_s", "rate_per_s"), [(2, 20), (10, 3)])
def test_a_limit_that_does_not_adapt_costs_all_goodput(timeout_s: float, rate_per_s: float) -> None:
    """A limit that does not adapt lets 64 requests wait for each other until all time out."""
    assert _answered_in_time(math.inf, timeout_s, rate_per_s) < 0.1 * rate_per_s * 20


def test_a_late_answer_never_raises_the_limit() -> None:
    """A late answer of a request that was let in before the limit fell does not raise it."""
    clock = ManualClock(0.0)
    limit = InFlightLimit(64, patience_s=2.0, clock=clock)
    held = [limit.hold_slot() for _ in range(64)]
    slots = [each.__enter__() for each in held]
    bounds = []
    for clock.now, seconds in ((3.0, 30.0), (6.0, 30.0), (9.0, 30.0), (12.0, 2.1)):
        slots.pop().body_ended_s = clock.now - seconds
        held.pop().__exit__(None, None, None)
        bounds.append(limit.limit)
    assert bounds == [32, 16, 8, 8]
