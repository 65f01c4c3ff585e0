"""Readiness depends on real inferences only."""

import asyncio
import threading

import numpy as np
import pytest

from pleura.deadline import Deadline
from pleura.errors import PleuraError
from predictor.batching import Batcher, BatchLimits
from predictor.engines.engine import GraphOutputs, Radiographs
from predictor.engines.pool import EnginePool
from predictor.engines.thread import EngineThread
from predictor.health import ModelHealth


class HangingEngine:
    """An engine that hangs until the test lets it run."""

    max_batch = None

    def __init__(self) -> None:
        self.may_run = threading.Event()
        self.may_run.set()

    def run(self, radiographs: Radiographs) -> GraphOutputs:
        """Answer once allowed."""
        self.may_run.wait(20)
        ones = np.ones(len(radiographs), np.float32)
        return GraphOutputs(
            np.ones((len(ones), 14), np.float32), np.ones((len(ones), 14, 7, 7), np.float32), ones
        )


async def wait_for_readiness(health: ModelHealth, ready: bool) -> None:
    async with asyncio.timeout(20):
        while health.is_ready != ready:  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.01)


async def test_an_engine_that_hangs_is_unready_until_it_answers_again() -> None:
    """Without any request, probes find the hanging engine, and its recovery."""
    engine = HangingEngine()
    pool = EnginePool(EngineThread(engine))
    health = ModelHealth(pool, probe_after_s=0.1, unready_after_s=1.0)
    batcher = Batcher(pool, BatchLimits(1, 4, 0.0))

    async def probe() -> None:
        await batcher.run(np.zeros((1, 224, 224, 1), np.uint8), Deadline.after(0.5))
        health.note_answer()

    work, watch = asyncio.create_task(batcher.work()), asyncio.create_task(health.watch(probe))
    await wait_for_readiness(health, ready=True)
    engine.may_run.clear()
    await wait_for_readiness(health, ready=False)
    engine.may_run.set()
    await wait_for_readiness(health, ready=True)
    work.cancel()
    watch.cancel()


async def test_a_working_engine_does_not_hide_one_that_hangs() -> None:
    """Half of the cores are lost: the pod must be replaced, even if answers still come."""
    hanging, working = HangingEngine(), HangingEngine()
    pool = EnginePool(EngineThread(HangingEngine()), [EngineThread(hanging), EngineThread(working)])
    health = ModelHealth(pool, unready_after_s=0.5)
    hanging.may_run.clear()
    blank = np.zeros((1, 224, 224, 1), np.uint8)
    stuck = asyncio.create_task(pool.run(pool.reserve_engine(2), blank))
    health.note_answer()
    while health.is_ready:
        await pool.run(pool.reserve_engine(2), blank)
        health.note_answer()
        await asyncio.sleep(0.01)
    assert pool.longest_run_s > 0.5
    hanging.may_run.set()
    await stuck
    assert health.is_ready


async def test_a_model_that_never_answered_is_not_ready() -> None:
    """Failed probes do not count as answers."""
    health, probes = (
        ModelHealth(EnginePool(EngineThread(HangingEngine())), probe_after_s=0.0),
        asyncio.Semaphore(0),
    )

    async def fail() -> None:
        probes.release()
        raise PleuraError("no")

    watch = asyncio.create_task(health.watch(fail))
    async with asyncio.timeout(20):
        await probes.acquire()
        await probes.acquire()
    watch.cancel()
    assert not health.is_ready


def test_a_hanging_engine_is_unready_within_ten_seconds() -> None:
    """The default limits hold, including the interval of the checks."""
    health = ModelHealth(EnginePool(EngineThread(HangingEngine())))
    assert health._unready_after_s < 10
    assert health._probe_after_s < health._unready_after_s


def test_an_engine_that_hangs_for_long_is_lost() -> None:
    """The model is first not ready. Only a much longer silence makes the process start again."""
    health = ModelHealth(EnginePool(EngineThread(HangingEngine())), unready_after_s=1.0, lost_after_s=60.0)
    health.note_answer()
    assert (health.is_ready, health.is_lost) == (True, False)
    health._answered_s -= 2.0
    assert (health.is_ready, health.is_lost) == (False, False)
    health._answered_s -= 60.0
    assert (health.is_ready, health.is_lost) == (False, True)


async def test_a_pool_closes_even_if_an_engine_hangs() -> None:
    """Its idle threads end. It does not wait for the thread that hangs."""
    hanging = HangingEngine()
    hanging.may_run.clear()
    pool = EnginePool(EngineThread(hanging), [EngineThread(HangingEngine())])
    running = asyncio.create_task(pool.run(pool.reserve_engine(1), np.zeros((1, 224, 224, 1), np.uint8)))
    await asyncio.sleep(0)
    await asyncio.wait_for(asyncio.to_thread(pool.close), 10.0)
    assert [pool._wide.is_alive, *(thread.is_alive for thread in pool._narrow)] == [True, False]
    hanging.may_run.set()
    await running


class DyingEngine:
    """An engine that ends its thread."""

    max_batch = None

    def run(self, radiographs: Radiographs) -> GraphOutputs:
        """End the thread: ``SystemExit`` is not handled as a failure of the batch."""
        raise SystemExit


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_dead_engine_thread_is_detected() -> None:
    """The thread reports that it is not alive."""
    thread = EngineThread(DyingEngine())
    assert thread.is_alive
    task = asyncio.create_task(thread.run(np.zeros((1, 224, 224, 1), np.uint8)))
    async with asyncio.timeout(20):
        while thread.is_alive:  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.01)
    task.cancel()
