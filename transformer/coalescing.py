"""Request coalescing: later requests for the same content join the first one's work.

The work lasts until all of it is done, filling the cache included, although its result is known earlier.
A request that comes later finds the cache filled. Failures reach the requests that wait, and are not kept.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from pleura.deadline import Deadline
from pleura.errors import DeadlineExceeded, PleuraError, Unavailable

T = TypeVar("T")
_TOO_SHORT_S: Final = 0.005


class SharedWork(Generic[T]):
    """One piece of work, and the requests that wait for its result."""

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        """The latest deadline among the requests that have joined so far."""
        self.task: asyncio.Task[None] | None = None
        self.waiting = 0
        self.result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._began_s, self._allowed_s = time.monotonic(), deadline.at_s - time.monotonic()

    def resolve(self, result: T) -> None:
        """Give the result to the requests that wait."""
        if not self.result.done():
            self.result.set_result(result)

    def fail(self, error: Exception) -> None:
        """Give the failure to the requests that wait, unless they have the result."""
        if not self.result.done():
            self.result.set_exception(error)
            self.result.exception()  # asyncio would log a failure that no request waits for any more

    def failed_for_lack_of_time(self, error: PleuraError, deadline: Deadline) -> bool:
        """Whether the first request had too little time for the work, and ``deadline`` leaves enough."""
        now = time.monotonic()
        left_s = deadline.at_s - now
        if isinstance(error, DeadlineExceeded):
            return left_s > _TOO_SHORT_S
        # a service that was given little time counts as unavailable: a request with more time may reach it
        return now - self._began_s > 0.8 * self._allowed_s and left_s > 0.3 * self._allowed_s


Work = Callable[[SharedWork[T]], Awaitable[None]]


class RequestCoalescer(Generic[T]):
    """The pieces of work that are under way, by the content that they are about."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, SharedWork[T]] = {}

    async def run(self, content: Hashable, deadline: Deadline, work: Work[T]) -> T:
        """Start the work on some content, or join the work on it that is under way.

        Args:
            content: Requests that give an equal value share one piece of work.
            deadline: How long this request waits.
            work: Resolves the ``SharedWork`` that it is given. It runs in a task of its own, which goes on as
                long as any request waits.

        Raises:
            DeadlineExceeded: ``deadline`` has passed.
            PleuraError: The work failed.
        """
        while True:
            shared = self._under_way.get(content)
            is_first = shared is None
            if shared is None:
                shared = self._start(content, deadline, work)
            try:
                return await self._wait(content, shared, deadline)
            except (DeadlineExceeded, Unavailable) as error:
                if is_first or not shared.failed_for_lack_of_time(error, deadline):
                    raise

    def _start(self, content: Hashable, deadline: Deadline, work: Work[T]) -> SharedWork[T]:
        shared = self._under_way[content] = SharedWork[T](deadline)
        shared.task = asyncio.create_task(self._finish(content, shared, work))
        return shared

    async def _finish(self, content: Hashable, shared: SharedWork[T], work: Work[T]) -> None:
        try:
            await work(shared)
            # without effect where the work has resolved its result, as it should
            shared.fail(RuntimeError("the work ended without a result"))
        except Exception as error:  # a defect of ours too: every request must learn of it, none may hang
            shared.fail(error)
        finally:
            self._forget(content, shared)

    async def _wait(self, content: Hashable, shared: SharedWork[T], deadline: Deadline) -> T:
        # the work may use the time of the most patient request: the first one may have brought little
        shared.deadline = max(shared.deadline, deadline, key=lambda one: one.at_s)
        shared.waiting += 1
        try:
            await asyncio.wait({shared.result}, timeout=deadline.remaining_s)
            if not shared.result.done():
                raise DeadlineExceeded("the time for this request has run out")
            return shared.result.result()
        finally:
            shared.waiting -= 1
            if not shared.waiting and not shared.result.done() and shared.task:
                self._forget(content, shared)
                shared.task.cancel()

    def _forget(self, content: Hashable, shared: SharedWork[T]) -> None:
        # new work on the same content may have taken its place
        if self._under_way.get(content) is shared:
            del self._under_way[content]
