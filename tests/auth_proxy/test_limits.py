"""How much is let through."""

import math
from collections.abc import Generator
from contextlib import ExitStack, suppress
from heapq import heappop, heappush

import pytest

from auth_proxy.limits import InFlightLimit, RateExceeded, RateLimit
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
    limit = InFlightLimit(1)
    with limit.hold_slot(), pytest.raises(Overloaded), limit.hold_slot():
        pass
    with limit.hold_slot():
        pass


def _answer(limit: InFlightLimit, clock: Clock, requests: int, seconds: float) -> None:
    """Let requests in together, and answer them all after so long."""
    with ExitStack() as places:
        for _ in range(requests):
            slot = places.enter_context(limit.hold_slot())
            slot.body_ended_s = clock()
        clock.now += seconds


def test_the_bound_follows_how_fast_answers_come() -> None:
    """It falls to what is answered in time, not below what is needed to see that, and rises again."""
    clock = Clock()
    limit = InFlightLimit(64, 2.0, clock)
    for falls_to in (32, 16, 8, 4, 4):
        _answer(limit, clock, limit.limit, 10.0)
        assert limit.limit == falls_to
        with pytest.raises(Overloaded):
            _answer(limit, clock, falls_to + 1, 0.0)
    for _ in range(1000):
        _answer(limit, clock, limit.limit, 0.5)
    assert limit.limit == 64


def test_a_caller_who_sends_slowly_does_not_lower_the_bound() -> None:
    """Time counts from the end of the request; one that never arrives counts for nothing."""
    clock = Clock()
    limit = InFlightLimit(64, 2.0, clock)
    with limit.hold_slot():
        clock.now += 100.0
    with limit.hold_slot() as slot:
        clock.now += 100.0
        slot.body_ended_s = clock()
    assert limit.limit == 64


def test_what_was_let_in_before_the_bound_fell_does_not_lower_it_again() -> None:
    """64 late answers of one moment are one reason to let fewer in, and not 64."""
    clock = Clock()
    limit = InFlightLimit(64, 2.0, clock)
    _answer(limit, clock, 64, 2.5)
    assert limit.limit == int(64 * 2 / 2.5)


def test_failures_at_once_say_nothing() -> None:
    """A part that refuses at once is no sign that more can be answered."""
    clock = Clock()
    limit = InFlightLimit(64, 2.0, clock)
    _answer(limit, clock, 64, 10.0)
    clock.now += 10.0
    for _ in range(1000):
        _fail(limit, clock)
    assert limit.limit == 32


def test_one_that_is_slow_by_itself_does_not_lower_the_bound() -> None:
    """Where few are in flight it is not the others that make one slow."""
    clock = Clock()
    limit = InFlightLimit(64, 2.0, clock)
    for _ in range(10):
        _answer(limit, clock, 8, 10.0)
    assert limit.limit == 64


def _fail(limit: InFlightLimit, clock: Clock) -> None:
    with ExitStack() as places:
        for _ in range(limit.limit):
            places.enter_context(suppress(Overloaded))
            places.enter_context(limit.hold_slot()).body_ended_s = clock()
            places.callback(_refuse)


def _refuse() -> None:
    raise Overloaded("too many")


def _answered_in_time(patience_s: float, timeout_s: float, rate_per_s: float) -> int:
    """Offer three times what a server can answer, for a minute; count the answers of the last 20 s.

    It answers one after the other, and goes on with what nobody waits for any more, as servers do.
    """
    clock = Clock()
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


def _place(limit: InFlightLimit, clock: Clock) -> Generator[None]:
    with limit.hold_slot() as slot:
        slot.body_ended_s = clock()
        yield


@pytest.mark.parametrize(("patience_s", "timeout_s", "rate_per_s"), [(0.5, 2, 20), (2, 10, 20), (2, 10, 3)])
def test_overload_costs_no_goodput(patience_s: float, timeout_s: float, rate_per_s: float) -> None:
    """As much is answered in time as can be, from the start or soon."""
    assert _answered_in_time(patience_s, timeout_s, rate_per_s) >= 0.9 * rate_per_s * 20


@pytest.mark.parametrize(("timeout_s", "rate_per_s"), [(2, 20), (10, 3)])
def test_a_bound_that_does_not_follow_costs_all_of_it(timeout_s: float, rate_per_s: float) -> None:
    """64 who wait for each other longer than their time-out: that is what the following is for."""
    assert _answered_in_time(math.inf, timeout_s, rate_per_s) < 0.1 * rate_per_s * 20


def test_a_late_answer_never_raises_the_bound() -> None:
    """Let in among many, it says nothing about how many may be in flight now that the bound has fallen."""
    clock = Clock()
    limit = InFlightLimit(64, patience_s=2.0, clock=clock)
    held = [limit.hold_slot() for _ in range(64)]
    slots = [each.__enter__() for each in held]
    bounds = []
    for clock.now, seconds in ((3.0, 30.0), (6.0, 30.0), (9.0, 30.0), (12.0, 2.1)):
        slots.pop().body_ended_s = clock.now - seconds
        held.pop().__exit__(None, None, None)
        bounds.append(limit.limit)
    assert bounds == [32, 16, 8, 8]
