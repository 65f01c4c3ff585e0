"""Limits on the requests of one principal and on the requests in flight. Their memory is bounded too."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from pleura.errors import Overloaded, TooManyRequests

_MAX_PRINCIPALS: Final = 10_000
_MIN_IN_FLIGHT: Final = 4
_INCREASE: Final = 0.1


class RateExceeded(TooManyRequests):
    """The principal has used up its rate. ``retry_after_s`` says when it may send a request again."""

    def __init__(self, wait_s: float) -> None:
        super().__init__("too many requests of this principal")
        self.retry_after_s = max(1, math.ceil(wait_s))


class RateLimit:
    """A token bucket per principal.

    Beyond ``max_principals`` the limit forgets the principal that has been quiet longest, since its bucket is
    the fullest.
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
        """Take one request out of the principal's bucket.

        Raises:
            RateExceeded: The bucket is empty.
        """
        now_s = self._clock()
        level, filled_s = self._buckets.pop(principal, (float(self._burst), now_s))
        level = min(self._burst, level + (now_s - filled_s) * self._rate_per_s)
        is_allowed = level >= 1
        self._buckets[principal] = (level - is_allowed, now_s)
        if len(self._buckets) > self._max_principals:
            self._buckets.popitem(last=False)
        if not is_allowed:
            raise RateExceeded((1 - level) / self._rate_per_s)


@dataclass
class Slot:
    """The place of one request among the requests in flight.

    Args:
        in_flight: Requests in flight when the slot was taken, this one included.
        body_ended_s: When the whole request had arrived; None before.
    """

    in_flight: int
    body_ended_s: float | None = None


class InFlightLimit:
    """A limit on the requests in flight, which adapts to how fast they are answered.

    A request that is let in must be answered in time, and any other must be refused at once. So when answers
    take longer than ``patience_s``, the limit falls to what can be answered within that time. When they do
    not, the limit rises again, up to ``maximum``. A late failure counts like a late answer. An immediate
    failure counts for nothing.

    Source:
        Little, "A proof for the queuing formula L = lambda W", 1961: requests in flight are rate times time.
    """

    def __init__(
        self, maximum: int, patience_s: float = math.inf, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._maximum, self._patience_s, self._clock = maximum, patience_s, clock
        self._minimum = min(maximum, _MIN_IN_FLIGHT)
        self._limit, self._in_flight, self._lowered_s = float(maximum), 0, -math.inf

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return int(self._limit)

    @property
    def in_flight(self) -> int:
        """Requests that are in flight now."""
        return self._in_flight

    @contextmanager
    def hold_slot(self) -> Iterator[Slot]:
        """Hold a slot while the request is answered.

        Raises:
            Overloaded: No slot is free.
        """
        if self._in_flight >= self.limit:
            raise Overloaded("too many requests are in flight")
        self._in_flight += 1
        slot, is_answered = Slot(self._in_flight), False
        try:
            yield slot
            is_answered = True
        finally:
            # a slow upload says nothing about how fast requests are answered
            if slot.body_ended_s is not None:
                self._adapt(slot.in_flight, self._clock() - slot.body_ended_s, is_answered)
            self._in_flight -= 1

    def _adapt(self, in_flight: int, seconds: float, is_answered: bool) -> None:
        """Adapt the limit to a request that took ``seconds`` while ``in_flight`` requests were answered."""
        now_s = self._clock()
        # requests that were let in before the limit fell say nothing about the new limit
        if now_s - self._lowered_s < self._patience_s:
            return
        if seconds <= self._patience_s:
            # a limit that is not reached says nothing about what could be answered
            if is_answered and self._in_flight >= self.limit:
                self._limit = min(self._maximum, self._limit + _INCREASE)
        elif in_flight >= self._limit / 2:  # with fewer, the request was slow by itself
            # with a fixed limit, no answer of an overloaded service arrives in time (docs/decisions/0018)
            answerable = in_flight * self._patience_s / seconds
            lower = max(self._minimum, self._limit / 2, answerable)
            self._limit, self._lowered_s = min(self._limit, lower), now_s
