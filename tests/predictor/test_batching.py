"""Batching: radiographs run together, every wait has a limit, and each request gets its own answer."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pleura.deadline import Deadline
from pleura.errors import DeadlineExceeded, InvalidAnswer, Overloaded, Unavailable
from predictor.batching import Batcher, BatchLimits
from predictor.engines.engine import GraphOutputs, Radiographs
from predictor.engines.pool import EnginePool
from predictor.engines.thread import EngineThread

LIMITS = BatchLimits(max_batch=4, max_queue=40, max_wait_s=0.01)


def answer_with_number(radiographs: Radiographs) -> GraphOutputs:
    """Answer with each radiograph's own number as its probability."""
    share = radiographs[:, 0, 0, 0].astype(np.float32) / np.float32(255)
    probability = np.repeat(share[:, None], 14, axis=1)
    maps = np.zeros((len(share), 14, 7, 7), np.float32)
    check = np.full((len(share), 4), 0.25, np.float32)
    return GraphOutputs(probability, maps, share, np.ones((len(share), 1), np.float32), check)


@dataclass
class RecordingEngine:
    """An engine that waits until the test lets it run, and records its batches."""

    answer: Callable[[Radiographs], GraphOutputs] = answer_with_number
    max_batch: int | None = None
    batches: list[list[int]] = field(default_factory=list)
    may_run: threading.Event = field(default_factory=threading.Event)
    started: threading.Event = field(default_factory=threading.Event)

    def run(self, radiographs: Radiographs) -> GraphOutputs:
        """Run once the test allows it."""
        self.batches.append(radiographs[:, 0, 0, 0].tolist())
        self.started.set()
        self.may_run.wait(20)
        return self.answer(radiographs)


def make_radiographs(*numbers: int) -> Radiographs:
    radiographs = np.zeros((len(numbers), 224, 224, 1), np.uint8)
    radiographs[:, 0, 0, 0] = numbers
    return radiographs


def read_numbers(outputs: GraphOutputs) -> list[int]:
    return np.rint(outputs.probability[:, 3] * 255).astype(int).tolist()  # type: ignore[no-any-return]


@asynccontextmanager
async def run_batcher(
    engine: RecordingEngine, limits: BatchLimits = LIMITS, runs: bool = True
) -> AsyncIterator[Batcher]:
    if runs:
        engine.may_run.set()
    batcher = Batcher(EnginePool(EngineThread(engine)), limits)
    work = asyncio.create_task(batcher.work())
    try:
        yield batcher
        assert not work.done()
    finally:
        engine.may_run.set()
        work.cancel()


async def ask(batcher: Batcher, *numbers: int, timeout_s: float = 20) -> list[int]:
    return read_numbers(await batcher.run(make_radiographs(*numbers), Deadline.after(timeout_s)))


async def occupy(batcher: Batcher, engine: RecordingEngine) -> "asyncio.Task[list[int]]":
    """Occupy the engine with a radiograph, so that later ones wait."""
    first = asyncio.create_task(ask(batcher, 99))
    await asyncio.to_thread(engine.started.wait, 20)
    return first


async def wait_for_radiographs(batcher: Batcher, radiographs: int) -> None:
    async with asyncio.timeout(20):
        while batcher.waiting != radiographs:  # noqa: ASYNC110  # no event tells it
            await asyncio.sleep(0.001)


async def test_requests_that_wait_together_run_together() -> None:
    """Three requests that wait while the engine is occupy make one batch, and each gets its own answer."""
    engine = RecordingEngine()
    async with run_batcher(engine, runs=False) as batcher:
        first = await occupy(batcher, engine)
        tasks = [asyncio.create_task(ask(batcher, *numbers)) for numbers in ((1,), (2, 3), (4,))]
        await wait_for_radiographs(batcher, 4)
        engine.may_run.set()
        assert await asyncio.gather(first, *tasks) == [[99], [1], [2, 3], [4]]
    assert engine.batches == [[99], [1, 2, 3, 4]]


async def test_an_idle_engine_waits_for_a_batch_up_to_its_limit() -> None:
    """Requests within the wait share a batch. A single request does not wait longer than that."""
    engine = RecordingEngine()
    async with run_batcher(engine, replace(LIMITS, max_wait_s=0.2)) as batcher:
        await asyncio.gather(ask(batcher, 1), ask(batcher, 2))
        assert await ask(batcher, 3) == [3]
    assert engine.batches == [[1, 2], [3]]


async def test_a_large_request_is_split_and_joined_again() -> None:
    """Ten radiographs run as four, four and two, and come back in order."""
    engine = RecordingEngine()
    async with run_batcher(engine) as batcher:
        assert await ask(batcher, *range(10)) == list(range(10))
    assert [len(batch) for batch in engine.batches] == [4, 4, 2]


@given(st.lists(st.integers(1, 7), min_size=1, max_size=8), st.integers(1, 6))
def test_every_request_gets_its_own_answers(sizes: list[int], max_batch: int) -> None:
    """For any sizes, no answer is lost, doubled or swapped, and no batch is too large."""
    engine = RecordingEngine()
    ends = np.cumsum(sizes)
    requests = [range(end - size, end) for size, end in zip(sizes, ends, strict=True)]

    async def ask_all() -> list[list[int]]:
        async with run_batcher(engine, replace(LIMITS, max_batch=max_batch, max_queue=56)) as batcher:
            return await asyncio.gather(*(ask(batcher, *request) for request in requests))

    assert asyncio.run(ask_all()) == [list(request) for request in requests]
    assert list(chain.from_iterable(engine.batches)) == list(range(ends[-1]))
    assert max(map(len, engine.batches)) <= max_batch


async def test_a_full_queue_rejects_at_once() -> None:
    """A request that does not fit is rejected before it waits. Waiting requests are answered."""
    engine = RecordingEngine()
    async with run_batcher(engine, replace(LIMITS, max_queue=3), runs=False) as batcher:
        first = await occupy(batcher, engine)
        second = asyncio.create_task(ask(batcher, 1, 2))
        await wait_for_radiographs(batcher, 2)
        with pytest.raises(Overloaded):
            await ask(batcher, 3, 4)
        engine.may_run.set()
        assert (await first, await second) == ([99], [1, 2])


async def test_a_late_request_never_runs() -> None:
    """A request whose deadline passes while it waits fails in time, and frees its place."""
    engine = RecordingEngine()
    async with run_batcher(engine, runs=False) as batcher:
        first = await occupy(batcher, engine)
        with pytest.raises(DeadlineExceeded):
            await ask(batcher, 1, timeout_s=0.05)
        assert batcher.waiting == 0
        engine.may_run.set()
        await first
        assert await ask(batcher, 2) == [2]
    assert engine.batches == [[99], [2]]


async def test_a_cancelled_request_never_runs() -> None:
    """The radiographs of a caller that left do not run. Other requests are answered."""
    engine = RecordingEngine()
    async with run_batcher(engine, runs=False) as batcher:
        first = await occupy(batcher, engine)
        cancelled, remaining = (asyncio.create_task(ask(batcher, number)) for number in (1, 2))
        await wait_for_radiographs(batcher, 2)
        cancelled.cancel()
        await wait_for_radiographs(batcher, 1)
        engine.may_run.set()
        assert (await first, await remaining) == ([99], [2])
    assert engine.batches == [[99], [2]]


async def test_a_hanging_engine_holds_no_request_beyond_its_deadline() -> None:
    """The running request and those behind it fail at their deadline."""
    engine = RecordingEngine()
    async with run_batcher(engine, runs=False) as batcher:
        asks = [ask(batcher, number, timeout_s=0.1) for number in range(9)]
        failures = await asyncio.wait_for(asyncio.gather(*asks, return_exceptions=True), 10)
        assert {type(failure) for failure in failures} == {DeadlineExceeded}


async def test_a_failing_engine_fails_only_that_batch() -> None:
    """The caller does not see the cause of the failure. The next batch is answered."""
    engine = RecordingEngine()

    def fail_once(radiographs: Radiographs) -> GraphOutputs:
        engine.answer = answer_with_number
        raise MemoryError("inner details")

    engine.answer = fail_once
    async with run_batcher(engine) as batcher:
        failures = await asyncio.gather(ask(batcher, 1), ask(batcher, 2, 3), return_exceptions=True)
        assert {type(failure) for failure in failures} == {Unavailable}
        assert "inner" not in str(failures)
        assert await ask(batcher, 4) == [4]


def spoil(**changed: Any) -> Callable[[Radiographs], GraphOutputs]:
    """Make an engine that changes the outputs of radiograph number 7."""

    def answer(radiographs: Radiographs) -> GraphOutputs:
        outputs = answer_with_number(radiographs)
        for name, value in changed.items():
            getattr(outputs, name)[radiographs[:, 0, 0, 0] == 7] = value
        return outputs

    return answer


@pytest.mark.parametrize(
    "changed",
    [
        {"probability": np.nan},
        {"probability": np.inf},
        {"probability": 1.01},
        {"probability": -0.01},
        {"typicality": np.nan},
        {"typicality": 2.0},
        {"activation_map": -np.inf},
        {"distance": -1.0},
        {"distance": np.inf},
        {"input_check": 1.5},
        {"input_check": np.nan},
    ],
)
async def test_invalid_outputs_fail_only_their_request(changed: dict[str, float]) -> None:
    """NaN, infinity and values outside [0, 1] never leave. Other requests of the batch are answered."""
    engine = RecordingEngine(spoil(**changed))
    async with run_batcher(engine) as batcher:
        asks = ask(batcher, 1), ask(batcher, 5, 7), ask(batcher, 2)
        before, failed, after = await asyncio.gather(*asks, return_exceptions=True)
        assert (before, after) == ([1], [2])
        assert isinstance(failed, InvalidAnswer)


@pytest.mark.parametrize("name", ["probability", "activation_map", "typicality", "input_check"])
async def test_outputs_of_a_wrong_shape_fail_the_batch(name: str) -> None:
    """Outputs for three findings, or for fewer radiographs than the batch has, are invalid."""

    def cut(radiographs: Radiographs) -> GraphOutputs:
        outputs = answer_with_number(radiographs)
        array = getattr(outputs, name)
        return replace(outputs, **{name: array[:, :3] if array.ndim > 1 else array[:-1]})

    async with run_batcher(RecordingEngine(cut)) as batcher:
        with pytest.raises(InvalidAnswer, match=name):
            await ask(batcher, 1)
