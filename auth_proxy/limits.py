"""How much one principal may ask, and how much may be in flight; both bounded in memory."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from pleura.errors import Overloaded, TooManyRequests

_MAX_PRINCIPALS: Final = 10_000
_LEAST_IN_FLIGHT: Final = 4
_RISE: Final = 0.1


class RateExceeded(TooManyRequests):
    """The principal has used up its rate; ``retry_after_s`` is when it may ask again."""

    def __init__(self, wait_s: float) -> None:
        super().__init__("too many requests of this principal")
        self.retry_after_s = max(1, math.ceil(wait_s))


class RateLimit:
    """A token bucket per principal.

    Of more than ``max_principals`` the one that has been quiet longest is forgotten, its bucket being the
    fullest.
    """

    def __init__(
        self,
        rate_per_s: float,
        burst: int,
        clock: Callable[[], float] = time.monotonic,
        max_principals: int = _MAX_PRINCIPALS,
    ) -> None:
        self._rate_per_s, self._burst, self._clock = rate_per_s, burst, clock
        self._max_principals = max_principals
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, principal: str) -> None:
        """Count one request.

        Raises:
            RateExceeded: The bucket is empty.
        """
        now = self._clock()
        left, then = self._buckets.pop(principal, (float(self._burst), now))
        left = min(self._burst, left + (now - then) * self._rate_per_s)
        is_allowed = left >= 1
        self._buckets[principal] = (left - is_allowed, now)
        if len(self._buckets) > self._max_principals:
            self._buckets.popitem(last=False)
        if not is_allowed:
            raise RateExceeded((1 - left) / self._rate_per_s)


@dataclass
class Slot:
    """A place among what is in flight.

    ``in_flight`` is how many there were when it was taken, itself among them; ``since_s`` is when the answer
    could be begun (the request was there to its end), None before that.
    """

    admitted_s: float
    in_flight: int
    since_s: float | None = None


class InFlight:
    """A bound on requests that are being answered at one time; it follows how fast they are answered.

    What is let in must be answered in time, and what is not must be told at once. So the bound falls to
    what can be answered within ``patience_s`` where answers take longer, and rises again, up to ``most``,
    where they do not. A failure that comes late counts like a late answer; one at once says nothing.

    Source:
        Little, "A proof for the queuing formula L = lambda W", 1961: what is in flight is rate times time.
    """

    def __init__(
        self, most: int, patience_s: float = math.inf, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._patience_s, self._clock = most, patience_s, clock
        self._least = min(most, _LEAST_IN_FLIGHT)
        self._bound, self._now, self._fell_s = float(most), 0, -math.inf

    @property
    def bound(self) -> int:
        """Requests that may be in flight now."""
        return int(self._bound)

    @property
    def now(self) -> int:
        """How many there are."""
        return self._now

    @contextmanager
    def slot(self) -> Iterator[Slot]:
        """Hold a place while the request is answered.

        Raises:
            Overloaded: There is none.
        """
        if self._now >= self.bound:
            raise Overloaded("too many requests are in flight")
        self._now += 1
        slot, is_answered = Slot(self._clock(), self._now), False
        try:
            yield slot
            is_answered = True
        finally:
            if slot.since_s is not None:
                self._follow(slot.in_flight, self._clock() - slot.since_s, is_answered)
            self._now -= 1

    def _follow(self, in_flight: int, seconds: float, is_answered: bool) -> None:
        now = self._clock()
        if now - self._fell_s < self._patience_s:
            return
        if seconds <= self._patience_s:
            if is_answered and self._now >= self.bound:
                self._bound = min(self._most, self._bound + _RISE)
        elif in_flight >= self._bound / 2:  # else it is not the others that made it slow
            in_time = in_flight * self._patience_s / seconds
            lower = max(self._least, self._bound / 2, in_time)
            self._bound, self._fell_s = min(self._bound, lower), now
