"""Requests for the same content share one piece of work."""

import asyncio

import pytest

from pleura.deadline import Deadline
from pleura.errors import DeadlineExceeded, PleuraError, StoreUnavailable
from transformer.coalescing import RequestCoalescer, SharedWork


class CountedWork:
    """Resolves to its own number, slowly, and counts how often it was called."""

    def __init__(self, seconds: float = 0.05, failure: PleuraError | None = None) -> None:
        self.calls = 0
        self.is_cancelled = False
        self._seconds, self._failure = seconds, failure

    async def __call__(self, shared: SharedWork[int]) -> None:
        self.calls += 1
        number = self.calls
        try:
            await asyncio.sleep(self._seconds)
        except asyncio.CancelledError:
            self.is_cancelled = True
            raise
        if self._failure:
            raise self._failure
        shared.resolve(number)


async def test_a_thousand_requests_share_one_work() -> None:
    """1,000 requests for the same content have the work done once."""
    coalescer, work = RequestCoalescer[int](), CountedWork()
    results = await asyncio.gather(*(coalescer.run("a", Deadline.after(5), work) for _ in range(1000)))
    assert work.calls == 1
    assert set(results) == {1}


async def test_different_contents_have_their_own_work() -> None:
    """Only requests for equal content share."""
    coalescer, work = RequestCoalescer[int](), CountedWork()
    results = await asyncio.gather(
        *(coalescer.run(content, Deadline.after(5), work) for content in ("a", "b", "a"))
    )
    assert results == [1, 2, 1]


async def test_work_can_be_joined_until_all_of_it_is_done() -> None:
    """A request that comes while the cache is still being filled gets the same result at once."""
    coalescer, is_cache_filled, calls = RequestCoalescer[int](), asyncio.Event(), []

    async def work(shared: SharedWork[int]) -> None:
        calls.append(shared)
        shared.resolve(len(calls))
        await is_cache_filled.wait()

    assert [await coalescer.run("a", Deadline.after(5), work) for _ in range(2)] == [1, 1]
    is_cache_filled.set()
    await asyncio.sleep(0.01)
    assert await coalescer.run("a", Deadline.after(5), work) == 2


async def test_a_cancelled_request_leaves_the_others_their_result() -> None:
    """The work goes on when the request that started it is gone."""
    coalescer, work = RequestCoalescer[int](), CountedWork()
    first = asyncio.create_task(coalescer.run("a", Deadline.after(5), work))
    second = asyncio.create_task(coalescer.run("a", Deadline.after(5), work))
    await asyncio.sleep(0.01)
    first.cancel()
    assert await second == 1
    assert work.calls == 1


async def test_work_that_no_request_waits_for_is_cancelled() -> None:
    """When the last request is gone the work ends, and the next request starts new work."""
    coalescer, slow, quick = RequestCoalescer[int](), CountedWork(10), CountedWork(0)
    only = asyncio.create_task(coalescer.run("a", Deadline.after(5), slow))
    await asyncio.sleep(0.01)
    only.cancel()
    await asyncio.gather(only, return_exceptions=True)
    await asyncio.sleep(0)
    assert await coalescer.run("a", Deadline.after(5), quick) == 1
    assert slow.is_cancelled


async def test_failures_are_shared_and_not_kept() -> None:
    """Every waiting request gets the failure; the next request tries again."""
    coalescer, work = RequestCoalescer[int](), CountedWork(0)
    failing = CountedWork(0.01, StoreUnavailable("down"))
    results = await asyncio.gather(
        *(coalescer.run("a", Deadline.after(5), failing) for _ in range(5)), return_exceptions=True
    )
    assert failing.calls == 1
    assert all(isinstance(result, StoreUnavailable) for result in results)
    assert await coalescer.run("a", Deadline.after(5), work) == 1


async def test_a_defect_reaches_every_request() -> None:
    """No request hangs when the work raises what it should not, or ends without a result."""

    async def broken(shared: SharedWork[int]) -> None:
        await asyncio.sleep(0.01)
        raise KeyError("defect")

    async def silent(shared: SharedWork[int]) -> None:
        await asyncio.sleep(0.01)

    for work, error in ((broken, KeyError), (silent, RuntimeError)):
        coalescer = RequestCoalescer[int]()
        results = await asyncio.gather(
            *(coalescer.run("a", Deadline.after(5), work) for _ in range(3)), return_exceptions=True
        )
        assert all(isinstance(result, error) for result in results)


async def test_no_request_waits_beyond_its_own_deadline() -> None:
    """A request with little time gives up alone; the work goes on for the request with more time."""
    coalescer, work = RequestCoalescer[int](), CountedWork(0.2)
    patient = asyncio.create_task(coalescer.run("a", Deadline.after(5), work))
    await asyncio.sleep(0)
    with pytest.raises(DeadlineExceeded):
        await coalescer.run("a", Deadline.after(0.05), work)
    assert await patient == 1
    assert work.calls == 1


async def test_a_joining_request_extends_the_deadline_of_the_work() -> None:
    """What the work starts later may take as long as the request with the latest deadline allows."""
    deadlines = []

    async def work(shared: SharedWork[int]) -> None:
        await asyncio.sleep(0.05)
        deadlines.append(shared.deadline)
        shared.resolve(1)

    coalescer, short, long = RequestCoalescer[int](), Deadline.after(1), Deadline.after(5)
    await asyncio.gather(*(coalescer.run("a", deadline, work) for deadline in (short, long, short)))
    assert deadlines == [long]


@pytest.mark.parametrize("error", [DeadlineExceeded("too little time"), StoreUnavailable("silent")])
async def test_work_that_had_too_little_time_is_done_again(error: PleuraError) -> None:
    """A request with more time, which joined such work, starts the work again with its own deadline."""
    calls = 0

    async def work(shared: SharedWork[int]) -> None:
        nonlocal calls
        calls += 1
        left_s = shared.deadline.remaining_s
        await asyncio.sleep(min(0.09, left_s))
        if left_s < 1:
            raise error
        shared.resolve(calls)

    coalescer = RequestCoalescer[int]()
    hasty = asyncio.create_task(coalescer.run("a", Deadline.after(0.1), work))
    await asyncio.sleep(0.01)
    assert await coalescer.run("a", Deadline.after(5), work) == 2
    with pytest.raises(type(error)):
        await hasty


async def test_a_failure_that_more_time_does_not_mend_is_shared() -> None:
    """A service that is down at once is down for the request with more time too."""
    coalescer, failing = RequestCoalescer[int](), CountedWork(0.01, StoreUnavailable("down"))
    results = await asyncio.gather(
        *(coalescer.run("a", Deadline.after(seconds), failing) for seconds in (0.5, 5)),
        return_exceptions=True,
    )
    assert failing.calls == 1
    assert all(isinstance(result, StoreUnavailable) for result in results)
