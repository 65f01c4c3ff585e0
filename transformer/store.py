"""The object store, asked from the event loop: in threads, each call ended in time."""

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Final, TypeVar

from pleura.deadline import Deadline
from pleura.errors import DeadlineExceeded, PleuraError, StoreUnavailable, TooLarge
from transformer.objects import ObjectId, Objects, Stat

_HOP_SHARE: Final = 0.9
_THREADS: Final = 16
T = TypeVar("T")


class Store:
    """Radiographs in the object store."""

    def __init__(self, objects: Objects, limit_bytes: int) -> None:
        self._objects, self._limit_bytes = objects, limit_bytes
        self._threads = ThreadPoolExecutor(_THREADS, "store")

    def close(self) -> None:
        """Start no more calls."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def stat(self, object_id: ObjectId, deadline: Deadline) -> Stat:
        """Ask for ETag and size.

        Raises:
            RadiographNotFound: There is no such object.
            TooLarge: It is larger than a radiograph may be.
            StoreUnavailable: The store does not answer in time.
        """
        stat = await self._called(lambda until: self._objects.stat(object_id, until), deadline)
        if stat.size > self._limit_bytes:
            raise TooLarge(f"the radiograph's file exceeds {self._limit_bytes} bytes")
        return stat

    async def read(self, object_id: ObjectId, etag: str, deadline: Deadline) -> tuple[bytes, str]:
        """Fetch the object of that ETag, and its SHA-256.

        Raises:
            RadiographNotFound, RadiographChanged: It is not there any more.
            TooLarge: It is larger than a radiograph may be.
            StoreUnavailable: The store does not send it in time.
        """

        def read(until: Deadline) -> tuple[bytes, str]:
            file = self._objects.read(object_id, etag, self._limit_bytes, until)
            return file, hashlib.sha256(file).hexdigest()

        return await self._called(read, deadline)

    async def is_alive(self, limit_s: float) -> bool:
        """Whether the store answers within ``limit_s``."""
        try:
            # not one of our threads: those may all be busy with radiographs
            return await asyncio.wait_for(asyncio.to_thread(self._objects.is_alive), limit_s)
        except (PleuraError, TimeoutError):
            return False

    async def _called(self, call: Callable[[Deadline], T], deadline: Deadline) -> T:
        # a part of the time is kept back: what fails here is told while the caller still listens
        until = Deadline.after(deadline.remaining_s * _HOP_SHARE)

        def call_in_time() -> T:
            _ = until.remaining_s  # it may have waited for a thread: expired work is not sent
            return call(until)

        work = asyncio.get_running_loop().run_in_executor(self._threads, copy_context().run, call_in_time)
        try:
            return await asyncio.wait_for(work, until.remaining_s)
        except (TimeoutError, DeadlineExceeded) as error:
            raise StoreUnavailable("the object store does not answer in time") from error
