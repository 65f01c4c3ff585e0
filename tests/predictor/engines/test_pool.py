"""The engine pool: a single radiograph gets all cores, several get one each, and answers keep their order."""

import asyncio
import random
import time

import numpy as np

from pleura.deadline import Deadline
from predictor.batching import Batcher, BatchLimits
from predictor.engines.engine import GraphOutputs, Radiographs
from predictor.engines.pool import EnginePool
from predictor.engines.thread import EngineThread
from tests.predictor.test_batching import answer_with_number, make_radiographs, read_numbers

LIMITS = BatchLimits(max_batch=1, max_queue=64, max_wait_s=0.0)


class SlowEngine:
    """An engine that takes a random time, and counts its runs."""

    max_batch = 1

    def __init__(self, seconds: float = 0.0) -> None:
        self.runs, self._most_s = 0, seconds

    def run(self, radiographs: Radiographs) -> GraphOutputs:
        """Answer after some time."""
        self.runs += 1
        time.sleep(random.uniform(0, self._most_s))
        return answer_with_number(radiographs)


def make_pool(wide: SlowEngine, *narrow: SlowEngine) -> EnginePool:
    return EnginePool(EngineThread(wide), [EngineThread(engine) for engine in narrow])


async def test_a_single_radiograph_runs_on_all_cores() -> None:
    """Radiographs that come one after the other all go to the wide engine."""
    wide, left, right = SlowEngine(), SlowEngine(), SlowEngine()
    batcher = Batcher(make_pool(wide, left, right), LIMITS)
    work = asyncio.create_task(batcher.work())
    for number in range(5):
        assert read_numbers(await batcher.run(make_radiographs(number), Deadline.after(20))) == [number]
    work.cancel()
    assert (wide.runs, left.runs, right.runs) == (5, 0, 0)


async def test_a_probe_leaves_cores_to_others() -> None:
    """A probe runs on a narrow engine even if nothing else runs, and a request on the wide one."""
    wide, narrow = SlowEngine(), SlowEngine()
    batcher = Batcher(make_pool(wide, narrow), LIMITS)
    work = asyncio.create_task(batcher.work())
    await batcher.run(make_radiographs(1), Deadline.after(20), is_urgent=False)
    assert (wide.runs, narrow.runs) == (0, 1)
    await batcher.run(make_radiographs(2), Deadline.after(20))
    work.cancel()
    assert (wide.runs, narrow.runs) == (1, 1)


async def test_several_radiographs_run_in_parallel_and_return_in_order() -> None:
    """Requests of many radiographs, split among engines of changing speed, get their own answers."""
    wide, left, right = SlowEngine(), SlowEngine(0.004), SlowEngine(0.004)
    batcher = Batcher(make_pool(wide, left, right), LIMITS)
    work = asyncio.create_task(batcher.work())
    requests = [range(start, start + 15) for start in (0, 15, 30, 45)]
    outputs = await asyncio.gather(
        *(batcher.run(make_radiographs(*request), Deadline.after(20)) for request in requests)
    )
    work.cancel()
    assert [read_numbers(output) for output in outputs] == [list(request) for request in requests]
    assert left.runs + right.runs + wide.runs == 60
    assert min(left.runs, right.runs) > 10


async def test_the_wide_engine_runs_alone() -> None:
    """Nothing else runs together with the wide engine, and it starts only when no engine runs."""
    pool = make_pool(SlowEngine(0.01), SlowEngine(0.01), SlowEngine(0.01))
    await pool.wait_for_idle_engine()
    wide = pool.reserve_engine(1)
    waiting = asyncio.create_task(pool.wait_for_idle_engine())
    await asyncio.sleep(0.02)
    assert not waiting.done()
    await pool.run(wide, make_radiographs(1))
    await waiting
    first = pool.reserve_engine(2)
    second = pool.reserve_engine(1)
    assert len({wide, first, second}) == 3
    full = asyncio.create_task(pool.wait_for_idle_engine())
    await asyncio.sleep(0.02)
    assert not full.done()
    await pool.run(first, make_radiographs(2))
    await full
    await pool.run(second, np.zeros((1, 224, 224, 1), np.uint8))
    assert pool.longest_run_s == 0
