"""How much one principal may ask, and how much may be in flight; both bounded in memory."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from pleura.errors import Overloaded, TooManyRequests

_MAX_PRINCIPALS: Final = 10_000


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


class InFlight:
    """A bound on requests that are being answered at one time."""

    def __init__(self, most: int) -> None:
        self._most, self._now = most, 0

    @property
    def now(self) -> int:
        """How many there are."""
        return self._now

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold a place while the request is answered.

        Raises:
            Overloaded: There is none.
        """
        if self._now >= self._most:
            raise Overloaded("too many requests are in flight")
        self._now += 1
        try:
            yield
        finally:
            self._now -= 1
