"""Radiographs that wait together run together; nothing waits without bound, and nothing is mixed up."""

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


def honest(radiographs: Radiographs) -> GraphOutputs:
    """Answer with each radiograph's own number as its probability."""
    share = radiographs[:, 0, 0, 0].astype(np.float32) / np.float32(255)
    probability = np.repeat(share[:, None], 14, axis=1)
    return GraphOutputs(probability, np.zeros((len(share), 14, 7, 7), np.float32), share)


@dataclass
class Stand:
    """An engine that does what the test says, and remembers its batches."""

    answer: Callable[[Radiographs], GraphOutputs] = honest
    max_batch: int | None = None
    batches: list[list[int]] = field(default_factory=list)
    may_run: threading.Event = field(default_factory=threading.Event)
    started: threading.Event = field(default_factory=threading.Event)

    def run(self, radiographs: Radiographs) -> GraphOutputs:
        """Run when the test allows it."""
        self.batches.append(radiographs[:, 0, 0, 0].tolist())
        self.started.set()
        self.may_run.wait(20)
        return self.answer(radiographs)


def numbered(*numbers: int) -> Radiographs:
    radiographs = np.zeros((len(numbers), 224, 224, 1), np.uint8)
    radiographs[:, 0, 0, 0] = numbers
    return radiographs


def numbers_of(outputs: GraphOutputs) -> list[int]:
    return np.rint(outputs.probability[:, 3] * 255).astype(int).tolist()  # type: ignore[no-any-return]


@asynccontextmanager
async def batching(engine: Stand, limits: BatchLimits = LIMITS, runs: bool = True) -> AsyncIterator[Batcher]:
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
    return numbers_of(await batcher.run(numbered(*numbers), Deadline.after(timeout_s)))


async def busy(batcher: Batcher, engine: Stand) -> "asyncio.Task[list[int]]":
    """Occupy the engine with a radiograph, so that whatever comes now waits."""
    first = asyncio.create_task(ask(batcher, 99))
    await asyncio.to_thread(engine.started.wait, 20)
    return first


async def waiting(batcher: Batcher, radiographs: int) -> None:
    async with asyncio.timeout(20):
        while batcher.waiting != radiographs:  # noqa: ASYNC110  # no event tells it
            await asyncio.sleep(0.001)


async def test_requests_that_wait_together_run_together() -> None:
    """Three requests that wait while the engine is busy make one batch, and each gets its own answer."""
    engine = Stand()
    async with batching(engine, runs=False) as batcher:
        first = await busy(batcher, engine)
        tasks = [asyncio.create_task(ask(batcher, *numbers)) for numbers in ((1,), (2, 3), (4,))]
        await waiting(batcher, 4)
        engine.may_run.set()
        assert await asyncio.gather(first, *tasks) == [[99], [1], [2, 3], [4]]
    assert engine.batches == [[99], [1, 2, 3, 4]]


async def test_an_idle_engine_waits_for_a_batch_no_longer_than_it_may() -> None:
    """Requests that come within the wait share a batch; one that comes alone does not wait for ever."""
    engine = Stand()
    async with batching(engine, replace(LIMITS, max_wait_s=0.2)) as batcher:
        await asyncio.gather(ask(batcher, 1), ask(batcher, 2))
        assert await ask(batcher, 3) == [3]
    assert engine.batches == [[1, 2], [3]]


async def test_a_large_request_is_split_and_put_together_again() -> None:
    """Ten radiographs run as four, four and two, and come back in order."""
    engine = Stand()
    async with batching(engine) as batcher:
        assert await ask(batcher, *range(10)) == list(range(10))
    assert [len(batch) for batch in engine.batches] == [4, 4, 2]


@given(st.lists(st.integers(1, 7), min_size=1, max_size=8), st.integers(1, 6))
def test_every_request_gets_its_own_answers(sizes: list[int], max_batch: int) -> None:
    """Whatever the sizes, no answer is lost, doubled or swapped, and no batch is too large."""
    engine = Stand()
    ends = np.cumsum(sizes)
    requests = [range(end - size, end) for size, end in zip(sizes, ends, strict=True)]

    async def ask_all() -> list[list[int]]:
        async with batching(engine, replace(LIMITS, max_batch=max_batch, max_queue=56)) as batcher:
            return await asyncio.gather(*(ask(batcher, *request) for request in requests))

    assert asyncio.run(ask_all()) == [list(request) for request in requests]
    assert list(chain.from_iterable(engine.batches)) == list(range(ends[-1]))
    assert max(map(len, engine.batches)) <= max_batch


async def test_a_full_queue_turns_away_at_once() -> None:
    """What does not fit is refused before it waits; what was there is answered."""
    engine = Stand()
    async with batching(engine, replace(LIMITS, max_queue=3), runs=False) as batcher:
        first = await busy(batcher, engine)
        second = asyncio.create_task(ask(batcher, 1, 2))
        await waiting(batcher, 2)
        with pytest.raises(Overloaded):
            await ask(batcher, 3, 4)
        engine.may_run.set()
        assert (await first, await second) == ([99], [1, 2])


async def test_what_is_late_never_runs() -> None:
    """A request whose deadline passes while it waits fails in time, and frees its place."""
    engine = Stand()
    async with batching(engine, runs=False) as batcher:
        first = await busy(batcher, engine)
        with pytest.raises(DeadlineExceeded):
            await ask(batcher, 1, timeout_s=0.05)
        assert batcher.waiting == 0
        engine.may_run.set()
        await first
        assert await ask(batcher, 2) == [2]
    assert engine.batches == [[99], [2]]


async def test_what_nobody_waits_for_never_runs() -> None:
    """A caller that is gone takes its radiographs along, and leaves its neighbours alone."""
    engine = Stand()
    async with batching(engine, runs=False) as batcher:
        first = await busy(batcher, engine)
        gone, stays = (asyncio.create_task(ask(batcher, number)) for number in (1, 2))
        await waiting(batcher, 2)
        gone.cancel()
        await waiting(batcher, 1)
        engine.may_run.set()
        assert (await first, await stays) == ([99], [2])
    assert engine.batches == [[99], [2]]


async def test_a_hanging_engine_keeps_nobody_waiting() -> None:
    """Those whom it holds, and those behind them, fail at their deadline."""
    engine = Stand()
    async with batching(engine, runs=False) as batcher:
        asks = [ask(batcher, number, timeout_s=0.1) for number in range(9)]
        failures = await asyncio.wait_for(asyncio.gather(*asks, return_exceptions=True), 10)
        assert {type(failure) for failure in failures} == {DeadlineExceeded}


async def test_a_failing_engine_fails_only_that_batch() -> None:
    """The failure says nothing of its cause to the caller; the next batch is answered."""
    engine = Stand()

    def fail_once(radiographs: Radiographs) -> GraphOutputs:
        engine.answer = honest
        raise MemoryError("inner details")

    engine.answer = fail_once
    async with batching(engine) as batcher:
        failed = await asyncio.gather(ask(batcher, 1), ask(batcher, 2, 3), return_exceptions=True)
        assert {type(each) for each in failed} == {Unavailable}
        assert "inner" not in str(failed)
        assert await ask(batcher, 4) == [4]


def spoilt(**changed: Any) -> Callable[[Radiographs], GraphOutputs]:
    """Spoil the outputs of radiograph number 7."""

    def answer(radiographs: Radiographs) -> GraphOutputs:
        outputs = honest(radiographs)
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
    ],
)
async def test_what_can_be_no_answer_fails_the_request_that_it_concerns(changed: dict[str, float]) -> None:
    """NaN, infinity and what is no probability never leave; the neighbours in the batch are answered."""
    engine = Stand(spoilt(**changed))
    async with batching(engine) as batcher:
        asks = ask(batcher, 1), ask(batcher, 5, 7), ask(batcher, 2)
        before, concerned, behind = await asyncio.gather(*asks, return_exceptions=True)
        assert (before, behind) == ([1], [2])
        assert isinstance(concerned, InvalidAnswer)


@pytest.mark.parametrize("name", ["probability", "activation_map", "typicality"])
async def test_outputs_of_a_wrong_shape_are_no_answers(name: str) -> None:
    """Thirteen findings, or fewer answers than radiographs, fail the batch."""

    def cut(radiographs: Radiographs) -> GraphOutputs:
        outputs = honest(radiographs)
        array = getattr(outputs, name)
        return replace(outputs, **{name: array[:, :13] if array.ndim > 1 else array[:-1]})

    async with batching(Stand(cut)) as batcher:
        with pytest.raises(InvalidAnswer, match=name):
            await ask(batcher, 1)
