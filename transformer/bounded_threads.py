"""Threads for calls that block, with a bound on how many calls wait for a thread."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from pleura.deadline import Deadline
from pleura.errors import DeadlineExceeded, Overloaded

T = TypeVar("T")


class BoundedThreads:
    """Runs calls in a few threads of their own, so that no other work of the service waits for them."""

    def __init__(self, name: str, threads: int, max_waiting: int) -> None:
        self._threads, self._max_waiting = ThreadPoolExecutor(threads, name), max_waiting
        self._waiting = 0

    def close(self) -> None:
        """Finish the running calls, and drop those that wait."""
        self._threads.shutdown(cancel_futures=True)

    async def run(self, call: Callable[[], T], deadline: Deadline) -> T:
        """Run a call in a thread. Its log lines carry the ids of the request.

        Raises:
            Overloaded: Too many calls wait.
            DeadlineExceeded: The deadline passed. The call may go on in its thread.
        """
        if self._waiting >= self._max_waiting:
            raise Overloaded("too many requests wait for PostgreSQL")
        self._waiting += 1
        running = asyncio.get_running_loop().run_in_executor(self._threads, partial(copy_context().run, call))
        running.add_done_callback(self._finish)
        try:
            async with asyncio.timeout(deadline.remaining_s):
                # a thread cannot be stopped, so its future must not be cancelled either
                return await asyncio.shield(running)
        except TimeoutError as error:
            raise DeadlineExceeded("the time for this request has run out") from error

    def _finish(self, running: asyncio.Future[Any]) -> None:
        self._waiting -= 1
        if not running.cancelled():
            running.exception()  # asyncio would log a failure that no request waits for any more
