"""A bounded number of decoder processes, behind one question: what tensor is this file?"""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from pleura.contract import SIZE_PX
from pleura.deadline import Deadline
from pleura.errors import (
    DeadlineExceeded,
    Overloaded,
    PleuraError,
    RefusedRadiograph,
    TooLarge,
    Unavailable,
    UnreadableRadiograph,
)
from transformer.decoding.worker_process import Worker, WorkerLost, WorkerReply, WorkerSpawner, WorkerTooSlow
from transformer.metrics import RESTARTS

T = TypeVar("T")
log = structlog.get_logger(__name__)

_ERRORS: Final[tuple[type[PleuraError], ...]] = (UnreadableRadiograph, RefusedRadiograph, TooLarge)
_PAUSE_S: Final = 1.0
_SMALL_BYTES: Final = 3 * 2**20


class DecoderPool:
    """Decodes and prepares radiographs in processes of their own, so that no file can harm the service.

    Args:
        workers: Files that are decoded at the same time.
        timeout_s: Seconds one file may take; then its worker is ended and replaced.
        memory_mb: Memory of one worker.
        max_pixels: Pixels that a file may announce.
        max_waiting: Files that may wait for a worker; the next is turned away at once.
        processor_s: Processor seconds one file of up to 3 MB may take, a larger one in proportion: bombs are
            small files, and a stranger gets no more time than he sends bytes for.
    """

    def __init__(
        self,
        workers: int,
        timeout_s: float,
        memory_mb: int,
        max_pixels: int,
        max_waiting: int = 64,
        processor_s: float = 1.0,
    ) -> None:
        self._workers, self._max_waiting = workers, max_waiting
        self._timeout_s, self._processor_s = timeout_s, processor_s
        self._nursery = WorkerSpawner(timeout_s, memory_mb, max_pixels)
        self._idle: asyncio.Queue[Worker] = asyncio.Queue()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._waiting = 0
        self._is_closed = False

    @property
    def nursery_pid(self) -> int | None:
        """The process whose children the workers are."""
        return self._nursery.pid

    async def start(self) -> None:
        """Start the workers; returns when each has reported.

        Raises:
            OSError: They cannot be started.
        """
        try:
            for _ in range(self._workers):
                self._idle.put_nowait(await self._nursery.fork())
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End all workers, and what they are at."""
        self._is_closed = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while not self._idle.empty():
            self._idle.get_nowait().close()
        await self._nursery.close()

    async def prepare(self, file: bytes, deadline: Deadline) -> NDArray[np.uint8]:
        """Decode a file and bring it to the network's size.

        A caller may give up at any time: the worker ends its file on its own and is then free again.

        Returns:
            uint8, shape (224, 224).

        Raises:
            UnreadableRadiograph: It cannot be decoded, or only with too much time or memory.
            RefusedRadiograph: It decodes, but is nothing to answer on.
            TooLarge: It announces too many pixels.
            Overloaded: Too many files wait already.
            DeadlineExceeded: The caller's time ran out first.
        """
        for _ in range(self._workers + 1):
            worker = await self._free_worker(deadline)
            job = self._background(self._job(worker, file))
            await asyncio.wait({job}, timeout=deadline.remaining_s)
            if not job.done():
                raise DeadlineExceeded("the time for this request ran out while decoding")
            if job.cancelled():
                raise Unavailable("the service is stopping")
            # Workers can be lost through no fault of the file, even all of the idle ones at once.
            with contextlib.suppress(WorkerLost):
                return _tensor(job.result())
        raise UnreadableRadiograph("the radiograph makes the decoder fail")

    async def _free_worker(self, deadline: Deadline) -> Worker:
        if self._idle.empty() and self._waiting >= self._max_waiting:
            raise Overloaded("too many radiographs wait to be decoded")
        self._waiting += 1
        try:
            while True:
                async with asyncio.timeout(deadline.remaining_s):
                    worker = await self._idle.get()
                if worker.is_alive:
                    return worker
                self._replace(worker)
        except TimeoutError as error:
            raise DeadlineExceeded("the time for this request ran out before decoding") from error
        finally:
            self._waiting -= 1

    async def _job(self, worker: Worker, file: bytes) -> WorkerReply:
        """Have a file decoded, and put the worker, or its successor, back among the idle."""
        try:
            processor_s = self._processor_s * max(1.0, len(file) / _SMALL_BYTES)
            reply = await worker.ask(file, self._timeout_s, processor_s)
        except WorkerTooSlow as error:
            self._replace(worker)
            raise UnreadableRadiograph("the radiograph takes too long to decode") from error
        except BaseException:
            self._replace(worker)
            raise
        if reply.is_spent:
            self._replace(worker)
        else:
            self._idle.put_nowait(worker)
        return reply

    def _replace(self, worker: Worker) -> None:
        worker.close()
        if self._is_closed:
            return
        RESTARTS.inc()
        log.warning("decoder_replaced", pid=worker.pid)
        self._background(self._successor())

    async def _successor(self) -> None:
        while True:
            try:
                self._idle.put_nowait(await self._nursery.fork())
            except OSError as error:
                log.error("decoder_not_started", reason=type(error).__name__)
                await asyncio.sleep(_PAUSE_S)
            else:
                return

    def _background(self, work: Coroutine[object, object, T]) -> asyncio.Task[T]:
        """Run something whether or not anybody waits for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[T]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as seen: the caller may have gone


def _tensor(reply: WorkerReply) -> NDArray[np.uint8]:
    if reply.kind:
        raise _ERRORS[reply.kind - 1](reply.body.decode())
    return np.frombuffer(reply.body, np.uint8).reshape(SIZE_PX, SIZE_PX)
