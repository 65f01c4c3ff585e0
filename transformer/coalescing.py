"""Many who ask for the same at the same time share one piece of work.

A flight lasts until its work is wholly done, what follows the answer (filling the cache) included; who asks
later finds the cache filled. Failures are shared by those who wait, and not kept.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pleura.deadline import Deadline
from pleura.errors import DeadlineExceeded, PleuraError, Unavailable

V = TypeVar("V")


@dataclass(eq=False)
class _Flight(Generic[V]):
    outcome: "asyncio.Future[V | PleuraError]"
    deadline: Deadline
    group: "Group[V]"
    first: Deadline
    began_s: float = field(default_factory=time.monotonic)
    waiting: int = 0


@dataclass(eq=False)
class Group(Generic[V]):
    """The flights that one caller started, which one piece of work lands."""

    flights: dict[str, _Flight[V]] = field(default_factory=dict)
    task: "asyncio.Task[None] | None" = None

    @property
    def keys(self) -> tuple[str, ...]:
        """What the work is asked for."""
        return tuple(self.flights)

    @property
    def deadline(self) -> Deadline:
        """The latest deadline among all who wait now; those who join later may extend it."""
        return max((flight.deadline for flight in self.flights.values()), key=lambda each: each.at_s)

    @property
    def is_awaited(self) -> bool:
        """Whether anybody still waits."""
        return any(flight.waiting for flight in self.flights.values())

    def land(self, key: str, outcome: V | PleuraError) -> None:
        """Tell those who wait for ``key`` how it went; the first word counts."""
        future = self.flights[key].outcome
        if not future.done():
            future.set_result(outcome)


Work = Callable[[Group[V]], Awaitable[None]]


class SingleFlight(Generic[V]):
    """The flights under way, by key."""

    def __init__(self) -> None:
        self._flights: dict[str, _Flight[V]] = {}

    async def run(
        self, keys: Sequence[str], deadline: Deadline, work: Work[V]
    ) -> Mapping[str, V | PleuraError]:
        """Have each key's work done, joining the flights that are under way.

        Args:
            keys: What is asked for; a key that stands there twice is asked for once.
            deadline: Until when this caller waits.
            work: Lands every key of the group it is given; called at most once, in a task of its own,
                which goes on when this caller is cancelled, as long as another waits.

        Returns:
            The outcome of each key.

        Raises:
            DeadlineExceeded: ``deadline`` came first.
        """
        while True:
            joined = [key for key in dict.fromkeys(keys) if key in self._flights]
            flights = self._join(dict.fromkeys(keys), deadline, work)
            outcomes = await self._wait(flights, deadline)
            late = [key for key in joined if _ran_out(flights[key], outcomes[key], deadline)]
            if not late or deadline.remaining_s < 0.005:
                return outcomes
            for key in late:  # these ran out of their time, ours goes on; what has landed is not joined again
                if self._flights.get(key) is flights[key]:
                    del self._flights[key]

    def _join(self, keys: Mapping[str, None], deadline: Deadline, work: Work[V]) -> Mapping[str, _Flight[V]]:
        group: Group[V] = Group()
        loop = asyncio.get_running_loop()
        for key in keys:
            flight = self._flights.get(key)
            if flight is None:
                flight = group.flights[key] = self._flights[key] = _Flight(
                    loop.create_future(), deadline, group, deadline
                )
            elif deadline.at_s > flight.deadline.at_s:
                flight.deadline = deadline
            flight.waiting += 1
        if group.flights:
            group.task = asyncio.create_task(self._fly(group, work))
        return {key: self._flights[key] for key in keys}

    async def _wait(
        self, flights: Mapping[str, _Flight[V]], deadline: Deadline
    ) -> Mapping[str, V | PleuraError]:
        try:
            futures = [flight.outcome for flight in flights.values()]
            _, late = await asyncio.wait(futures, timeout=deadline.remaining_s)
            if late:
                raise DeadlineExceeded("the time for this request has run out")
            return {key: flight.outcome.result() for key, flight in flights.items()}
        finally:
            self._leave(flights)

    def _leave(self, flights: Mapping[str, _Flight[V]]) -> None:
        for flight in flights.values():
            flight.waiting -= 1
        for group in {flight.group for flight in flights.values()}:
            landed = all(flight.outcome.done() for flight in group.flights.values())
            if not landed and not group.is_awaited and group.task:
                self._forget(group)
                group.task.cancel()

    async def _fly(self, group: Group[V], work: Work[V]) -> None:
        try:
            await work(group)
            failure: Exception = RuntimeError("the work left a key without an outcome")
        except PleuraError as error:
            failure = error
        except Exception as error:  # a fault of ours: every waiter must hear of it, none may hang
            failure = error
        finally:
            self._forget(group)
        for flight in group.flights.values():
            if not flight.outcome.done():
                _fail(flight.outcome, failure)

    def _forget(self, group: Group[V]) -> None:
        for key, flight in group.flights.items():
            if self._flights.get(key) is flight:
                del self._flights[key]


def _ran_out(flight: _Flight[V], outcome: V | PleuraError, deadline: Deadline) -> bool:
    """Whether a flight failed for want of time that whoever joined it still has."""
    if not isinstance(outcome, Unavailable):
        return isinstance(outcome, DeadlineExceeded)
    # a part that was given little time is called silent: that says nothing to those who brought more
    now, allowed_s = time.monotonic(), flight.first.at_s - flight.began_s
    return now - flight.began_s > 0.8 * allowed_s and deadline.at_s - now > 0.3 * allowed_s


def _fail(outcome: "asyncio.Future[V | PleuraError]", failure: Exception) -> None:
    if isinstance(failure, PleuraError):
        outcome.set_result(failure)
    else:
        outcome.set_exception(failure)
        outcome.exception()  # a flight that nobody waits for any more is no news to the event loop
