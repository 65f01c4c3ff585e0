"""A lone radiograph gets all cores, several get one each, and whoever ends first mixes nothing up."""

import asyncio
import random
import time

import numpy as np

from pleura.deadline import Deadline
from predictor.batching import Batcher, BatchLimits
from predictor.engines.engine import GraphOutputs, Radiographs
from predictor.engines.pool import EnginePool
from predictor.engines.thread import EngineThread
from tests.predictor.test_batching import honest, numbered, numbers_of

LIMITS = BatchLimits(max_batch=1, max_queue=64, max_wait_s=0.0)


class Slow:
    """An engine that takes as long as it likes, and counts."""

    max_batch = 1

    def __init__(self, seconds: float = 0.0) -> None:
        self.runs, self._most_s = 0, seconds

    def run(self, radiographs: Radiographs) -> GraphOutputs:
        """Answer after some time."""
        self.runs += 1
        time.sleep(random.uniform(0, self._most_s))
        return honest(radiographs)


def pool_of(wide: Slow, *narrow: Slow) -> EnginePool:
    return EnginePool(EngineThread(wide), [EngineThread(each) for each in narrow])


async def test_a_lone_radiograph_runs_on_all_cores() -> None:
    """One after the other, all go to the wide engine."""
    wide, left, right = Slow(), Slow(), Slow()
    batcher = Batcher(pool_of(wide, left, right), LIMITS)
    work = asyncio.create_task(batcher.work())
    for number in range(5):
        assert numbers_of(await batcher.run(numbered(number), Deadline.after(20))) == [number]
    work.cancel()
    assert (wide.runs, left.runs, right.runs) == (5, 0, 0)


async def test_what_is_not_urgent_leaves_cores_to_others() -> None:
    """A probe runs on a narrow engine though nothing else runs; a caller's radiograph on the wide one."""
    wide, narrow = Slow(), Slow()
    batcher = Batcher(pool_of(wide, narrow), LIMITS)
    work = asyncio.create_task(batcher.work())
    await batcher.run(numbered(1), Deadline.after(20), is_urgent=False)
    assert (wide.runs, narrow.runs) == (0, 1)
    await batcher.run(numbered(2), Deadline.after(20))
    work.cancel()
    assert (wide.runs, narrow.runs) == (1, 1)


async def test_several_run_side_by_side_and_come_back_in_order() -> None:
    """Requests of many radiographs, cut up among engines of changing speed, get their own answers."""
    wide, left, right = Slow(), Slow(0.004), Slow(0.004)
    batcher = Batcher(pool_of(wide, left, right), LIMITS)
    work = asyncio.create_task(batcher.work())
    requests = [range(start, start + 15) for start in (0, 15, 30, 45)]
    outputs = await asyncio.gather(*(batcher.run(numbered(*each), Deadline.after(20)) for each in requests))
    work.cancel()
    assert [numbers_of(each) for each in outputs] == [list(each) for each in requests]
    assert left.runs + right.runs + wide.runs == 60
    assert min(left.runs, right.runs) > 10


async def test_engines_never_share_the_cores_with_the_wide_one() -> None:
    """While the wide engine runs nothing else does, and it starts only where nothing runs."""
    pool = pool_of(Slow(0.01), Slow(0.01), Slow(0.01))
    await pool.wait_for_idle_engine()
    wide = pool.reserve_engine(1)
    waiting = asyncio.create_task(pool.wait_for_idle_engine())
    await asyncio.sleep(0.02)
    assert not waiting.done()
    await pool.run(wide, numbered(1))
    await waiting
    first = pool.reserve_engine(2)
    second = pool.reserve_engine(1)
    assert len({wide, first, second}) == 3
    full = asyncio.create_task(pool.wait_for_idle_engine())
    await asyncio.sleep(0.02)
    assert not full.done()
    await pool.run(first, numbered(2))
    await full
    await pool.run(second, np.zeros((1, 224, 224, 1), np.uint8))
    assert pool.longest_run_s == 0
