"""Dynamic batching: waiting radiographs run together, and every wait has a limit."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field

import numpy as np
import structlog

from pleura.deadline import Deadline
from pleura.errors import DeadlineExceeded, InvalidAnswer, Overloaded, PleuraError, Unavailable
from predictor.engines.engine import GraphOutputs, Radiographs, concatenate_outputs
from predictor.engines.pool import EnginePool
from predictor.engines.thread import EngineThread
from predictor.metrics import BATCHES, ENGINE, INVALID
from predictor.output_checks import require_answer, require_shapes

log = structlog.get_logger()


@dataclass(frozen=True)
class BatchLimits:
    """Most radiographs in a batch, most that wait, and the longest time that a batch waits to fill."""

    max_batch: int
    max_queue: int
    max_wait_s: float


@dataclass(eq=False)
class _Request:
    radiographs: Radiographs
    deadline: Deadline
    arrived_s: float
    answer: asyncio.Future[GraphOutputs]
    is_urgent: bool = True
    context: Context = field(default_factory=copy_context)
    taken: int = 0
    parts: dict[int, GraphOutputs] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        return 0 if self.answer.done() else len(self.radiographs) - self.taken

    def take(self, count: int) -> "_Part":
        start = self.taken
        self.taken = min(start + count, len(self.radiographs))
        return _Part(self, start, self.radiographs[start : self.taken])

    def fail(self, error: PleuraError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)

    def accept(self, start: int, outputs: GraphOutputs) -> None:
        try:
            require_answer(outputs)
        except InvalidAnswer as error:
            INVALID.inc()
            self.fail(error)
            return
        self.parts[start] = outputs  # parallel engines may end in another order
        answered = sum(len(part.typicality) for part in self.parts.values())
        if answered == len(self.radiographs) and not self.answer.done():
            self.answer.set_result(concatenate_outputs([self.parts[start] for start in sorted(self.parts)]))


@dataclass(frozen=True, eq=False)
class _Part:
    request: _Request
    start: int
    radiographs: Radiographs


class Batcher:
    """Runs the radiographs of many requests through the engines, while the task ``work`` runs."""

    def __init__(self, engines: EnginePool, limits: BatchLimits) -> None:
        self._engines, self._limits = engines, limits
        self._requests: deque[_Request] = deque()
        self._arrival = asyncio.Event()

    @property
    def waiting(self) -> int:
        """The number of radiographs that wait."""
        return sum(request.waiting for request in self._requests)

    async def run(self, radiographs: Radiographs, deadline: Deadline, is_urgent: bool = True) -> GraphOutputs:
        """Run uint8 (N, 224, 224, 1), N >= 1, in one or several batches.

        Args:
            radiographs: The radiographs of one request.
            deadline: The deadline of the request.
            is_urgent: False leaves cores to others, even where nothing else waits.

        Raises:
            Overloaded: Too many radiographs wait already.
            DeadlineExceeded: The deadline has passed. Radiographs that have not run by then do not run.
            Unavailable: The engine failed on the batch.
            InvalidAnswer: The engine returned invalid outputs.
        """
        loop = asyncio.get_running_loop()
        remaining_s = deadline.remaining_s
        if self.waiting + len(radiographs) > self._limits.max_queue:
            raise Overloaded("too many radiographs wait for the model")
        request = _Request(radiographs, deadline, loop.time(), loop.create_future(), is_urgent)
        self._requests.append(request)
        self._arrival.set()
        try:
            async with asyncio.timeout(remaining_s):
                return await request.answer
        except TimeoutError as error:
            raise DeadlineExceeded("the model did not answer in time") from error
        finally:
            # the radiographs of a caller who has left must not run
            request.answer.cancel()

    async def work(self) -> None:
        """Form batches and run them, for ever."""
        async with asyncio.TaskGroup() as running:
            while True:
                await self._wait_for_requests()
                await self._engines.wait_for_idle_engine()
                waiting, batch = self.waiting, self._take_batch()
                if batch:
                    is_urgent = any(part.request.is_urgent for part in batch)
                    engine = self._engines.reserve_engine(waiting, is_urgent)
                    running.create_task(self._run(batch, engine))

    async def _wait_for_requests(self) -> None:
        while not self.waiting:
            self._requests.clear()
            await self._wait_for_arrival(None)
        full_by_s = self._requests[0].arrived_s + self._limits.max_wait_s
        while self.waiting < self._limits.max_batch:
            remaining_s = full_by_s - asyncio.get_running_loop().time()
            if remaining_s <= 0:
                return
            await self._wait_for_arrival(remaining_s)

    async def _wait_for_arrival(self, timeout_s: float | None) -> None:
        self._arrival.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await self._arrival.wait()
        except TimeoutError:
            return

    def _take_batch(self) -> list[_Part]:
        batch: list[_Part] = []
        free = self._limits.max_batch
        while self._requests and free:
            request = self._requests[0]
            if self._is_late(request) or not request.waiting:
                self._requests.popleft()
                continue
            part = request.take(free)
            batch.append(part)
            free -= len(part.radiographs)
        return batch

    def _is_late(self, request: _Request) -> bool:
        try:
            return request.deadline.remaining_s <= 0
        except DeadlineExceeded as error:
            request.fail(error)
            return True

    async def _run(self, batch: Sequence[_Part], engine: EngineThread) -> None:
        radiographs = np.concatenate([part.radiographs for part in batch])
        BATCHES.observe(len(radiographs))
        started_s = time.perf_counter()
        try:
            outputs = await self._engines.run(engine, radiographs)
            require_shapes(outputs, len(radiographs))
        except InvalidAnswer as error:
            INVALID.inc(len(batch))
            _fail_batch(batch, error)
            return
        except Exception as error:  # an engine may raise anything, and only this batch has failed
            # the line carries the ids of the first request of the batch
            run_in_context = batch[0].request.context.run
            run_in_context(log.error, "batch_failed", radiographs=len(radiographs), exc_info=error)
            _fail_batch(batch, Unavailable("the model failed on this batch"))
            return
        finally:
            ENGINE.observe(time.perf_counter() - started_s)
        start = 0
        for part in batch:
            stop = start + len(part.radiographs)
            part.request.accept(part.start, outputs.rows(start, stop))
            start = stop


def _fail_batch(batch: Sequence[_Part], error: PleuraError) -> None:
    for part in batch:
        part.request.fail(error)
