"""A pool of decoder processes, which turn a radiograph's file into a tensor."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Final, TypeVar, cast

import structlog

from pleura.classification import OverlayContent
from pleura.deadline import Deadline
from pleura.errors import (
    DeadlineExceeded,
    Overloaded,
    PleuraError,
    RefusalReason,
    RefusedRadiograph,
    TooLarge,
    Unavailable,
    UnreadableRadiograph,
)
from transformer.decoding.decoded_radiograph import DecodedRadiograph, read_decoded
from transformer.decoding.overlay_content import write_overlay_content
from transformer.decoding.worker_process import Worker, WorkerLost, WorkerReply, WorkerSpawner, WorkerTooSlow
from transformer.metrics import RESTARTS

T = TypeVar("T")
log = structlog.get_logger(__name__)

_ERRORS: Final[tuple[type[PleuraError], ...]] = (UnreadableRadiograph, RefusedRadiograph, TooLarge)
_RETRY_PAUSE_S: Final = 1.0
_SMALL_BYTES: Final = 3 * 2**20


class DecoderPool:
    """Decodes radiographs in separate processes, so that no file can harm the service.

    Args:
        workers: Number of processes, and so of files that are decoded at the same time.
        timeout_s: Seconds that one file may take. After that its worker is ended and replaced.
        memory_mb: Memory of one worker.
        max_pixels: Most pixels that a file's header may announce.
        max_waiting: Most files that wait for a worker. A further file is refused at once.
        processor_s: Processor seconds that a file of up to 3 MB may take. A larger file gets more, in
            proportion: decompression bombs are small files.
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
        self._spawner = WorkerSpawner(timeout_s, memory_mb, max_pixels)
        self._idle: asyncio.Queue[Worker] = asyncio.Queue()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._waiting = 0
        self._is_closed = False

    async def start(self) -> None:
        """Start the workers, and return when each of them is ready.

        Raises:
            OSError: The workers cannot be started.
        """
        try:
            for _ in range(self._workers):
                self._idle.put_nowait(await self._spawner.fork())
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End all workers, including those that decode a file."""
        self._is_closed = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while not self._idle.empty():
            self._idle.get_nowait().close()
        await self._spawner.close()

    async def prepare(self, file: bytes, deadline: Deadline) -> DecodedRadiograph:
        """Decode a file and resize it for the network.

        The caller may be cancelled at any time. The worker then finishes the file, and is free again.

        Raises:
            UnreadableRadiograph: The file cannot be decoded, or not within the limits of time and memory.
            RefusedRadiograph: Nobody can say what radiograph the file shows.
            TooLarge: The file announces too many pixels.
            Overloaded: Too many files wait for a worker.
            DeadlineExceeded: The deadline passed.
        """
        return read_decoded(await self._run(file, b"", deadline))

    async def draw(self, file: bytes, content: OverlayContent, deadline: Deadline) -> bytes:
        """Decode a file and draw an overlay on it, in the same way as ``prepare`` and with its limits.

        Returns:
            The overlay as PNG.
        """
        return await self._run(file, write_overlay_content(content), deadline)

    async def _run(self, file: bytes, overlay: bytes, deadline: Deadline) -> bytes:
        for _ in range(self._workers + 1):
            worker = await self._take_worker(deadline)
            job = self._run_in_background(self._decode(worker, file, overlay))
            await asyncio.wait({job}, timeout=deadline.remaining_s)
            if not job.done():
                raise DeadlineExceeded("the time for this request ran out while decoding")
            if job.cancelled():
                raise Unavailable("the service is stopping")
            # a worker can die for other reasons than the file, and all idle workers can die at once
            with contextlib.suppress(WorkerLost):
                return _read_body(job.result())
        raise UnreadableRadiograph("the radiograph makes the decoder fail")

    async def _take_worker(self, deadline: Deadline) -> Worker:
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

    async def _decode(self, worker: Worker, file: bytes, overlay: bytes) -> WorkerReply:
        """Decode a file with a worker, then make the worker, or its replacement, idle again."""
        try:
            # a stranger gets time in proportion to the bytes that he sends (docs/decisions/0005)
            processor_s = self._processor_s * max(1.0, len(file) / _SMALL_BYTES)
            reply = await worker.decode(file, overlay, self._timeout_s, processor_s)
        except WorkerTooSlow as error:
            self._replace(worker)
            raise UnreadableRadiograph("the radiograph takes too long to decode") from error
        except BaseException:
            self._replace(worker)
            raise
        if reply.is_used_up:
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
        self._run_in_background(self._start_replacement())

    async def _start_replacement(self) -> None:
        while True:
            try:
                self._idle.put_nowait(await self._spawner.fork())
            except OSError as error:
                log.error("decoder_start_failed", reason=type(error).__name__)
                await asyncio.sleep(_RETRY_PAUSE_S)
            else:
                return

    def _run_in_background(self, work: Coroutine[object, object, T]) -> asyncio.Task[T]:
        """Run a task that goes on when the caller is cancelled."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[T]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # asyncio would log a failure that no caller waits for any more


def _read_body(reply: WorkerReply) -> bytes:
    if reply.kind:  # 0 is what was asked for, any other kind the place of an error plus one
        raise _make_error(_ERRORS[reply.kind - 1], reply.body.decode())
    return reply.body


def _make_error(error_class: type[PleuraError], message: str) -> PleuraError:
    if error_class is not RefusedRadiograph:
        return error_class(message)
    reason, _, text = message.partition("\n")
    return RefusedRadiograph(text, reason=cast(RefusalReason, reason))
