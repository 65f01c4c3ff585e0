"""Many who ask for the same share one piece of work."""

import asyncio

import pytest

from pleura.deadline import Deadline
from pleura.errors import DeadlineExceeded, PleuraError, StoreUnavailable
from transformer.coalescing import Group, SingleFlight


class _Work:
    """Lands each key with its length, slowly; counts."""

    def __init__(self, seconds: float = 0.05, failure: PleuraError | None = None) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.is_cancelled = False
        self._seconds, self._failure = seconds, failure

    async def __call__(self, group: Group[int]) -> None:
        self.calls.append(group.keys)
        try:
            await asyncio.sleep(self._seconds)
        except asyncio.CancelledError:
            self.is_cancelled = True
            raise
        if self._failure:
            raise self._failure
        for key in group.keys:
            group.land(key, len(key))


async def test_a_thousand_at_once_share_one_work() -> None:
    """1,000 who ask for the same have it done once."""
    flights, work = SingleFlight[int](), _Work()
    outcomes = await asyncio.gather(*(flights.run(["abc"], Deadline.after(5), work) for _ in range(1000)))
    assert work.calls == [("abc",)]
    assert all(outcome == {"abc": 3} for outcome in outcomes)


async def test_only_what_is_not_under_way_is_done() -> None:
    """Requests that overlap share the keys they have in common; a key that stands twice is done once."""
    flights, work = SingleFlight[int](), _Work()
    first, second = await asyncio.gather(
        flights.run(["a", "bb", "a"], Deadline.after(5), work),
        flights.run(["bb", "ccc"], Deadline.after(5), work),
    )
    assert work.calls == [("a", "bb"), ("ccc",)]
    assert (first, second) == ({"a": 1, "bb": 2}, {"bb": 2, "ccc": 3})


async def test_a_cancelled_caller_leaves_the_others_their_answer() -> None:
    """The work goes on when the one who started it is gone."""
    flights, work = SingleFlight[int](), _Work()
    first = asyncio.create_task(flights.run(["a"], Deadline.after(5), work))
    second = asyncio.create_task(flights.run(["a"], Deadline.after(5), work))
    await asyncio.sleep(0.01)
    first.cancel()
    assert await second == {"a": 1}
    assert len(work.calls) == 1


async def test_work_that_nobody_awaits_is_cancelled() -> None:
    """When the last caller is gone the work ends, and the next caller begins anew."""
    flights, slow, quick = SingleFlight[int](), _Work(10), _Work(0)
    only = asyncio.create_task(flights.run(["a"], Deadline.after(5), slow))
    await asyncio.sleep(0.01)
    only.cancel()
    await asyncio.gather(only, return_exceptions=True)
    await asyncio.sleep(0)
    assert await flights.run(["a"], Deadline.after(5), quick) == {"a": 1}
    assert slow.is_cancelled


async def test_failures_are_shared_and_not_kept() -> None:
    """All who wait hear of a failure; the next one tries again."""
    flights, failing, work = SingleFlight[int](), _Work(0.01, StoreUnavailable("down")), _Work(0)
    outcomes = await asyncio.gather(*(flights.run(["a"], Deadline.after(5), failing) for _ in range(5)))
    assert len(failing.calls) == 1
    assert all(isinstance(outcome["a"], StoreUnavailable) for outcome in outcomes)
    assert await flights.run(["a"], Deadline.after(5), work) == {"a": 1}


async def test_a_fault_of_ours_reaches_every_caller() -> None:
    """Nobody hangs when the work breaks."""

    async def broken(group: Group[int]) -> None:
        await asyncio.sleep(0.01)
        raise KeyError("fault")

    flights = SingleFlight[int]()
    outcomes = await asyncio.gather(
        *(flights.run(["a"], Deadline.after(5), broken) for _ in range(3)), return_exceptions=True
    )
    assert all(isinstance(outcome, KeyError) for outcome in outcomes)


async def test_nobody_waits_beyond_his_own_deadline() -> None:
    """A caller in a hurry gives up alone; the deadline of the work is that of the patient one."""
    flights, work = SingleFlight[int](), _Work(0.2)
    patient = asyncio.create_task(flights.run(["a"], Deadline.after(5), work))
    await asyncio.sleep(0)
    with pytest.raises(DeadlineExceeded):
        await flights.run(["a"], Deadline.after(0.05), work)
    assert await patient == {"a": 1}
    assert len(work.calls) == 1


async def test_a_patient_caller_outlives_the_deadline_of_a_hasty_one() -> None:
    """Who joined work that ran out of another's time has it done again in his own."""
    calls = []

    async def work(group: Group[int]) -> None:
        calls.append(group.keys)
        until = group.deadline.remaining_s
        await asyncio.sleep(0.05)
        if until < 1:
            raise DeadlineExceeded("the hasty one's")
        group.land("a", 1)

    flights = SingleFlight[int]()
    hasty = asyncio.create_task(flights.run(["a"], Deadline.after(0.5), work))
    await asyncio.sleep(0.01)
    assert await flights.run(["a"], Deadline.after(5), work) == {"a": 1}
    assert isinstance((await hasty)["a"], DeadlineExceeded)
    assert len(calls) == 2


async def test_what_ran_out_of_time_is_done_again_beside_the_rest() -> None:
    """A key that has failed for want of time is free, though other keys of its group are under way still."""
    calls = []

    async def work(group: Group[int]) -> None:
        calls.append(group.keys)
        if len(calls) == 1:
            await asyncio.sleep(0.05)
            group.land("a", DeadlineExceeded("the first one's"))
            await asyncio.sleep(0.5)
        for key in group.keys:
            group.land(key, len(calls))

    flights = SingleFlight[int]()
    both = asyncio.create_task(flights.run(["a", "slow"], Deadline.after(5), work))
    await asyncio.sleep(0.01)
    assert await flights.run(["a"], Deadline.after(5), work) == {"a": 2}
    assert not both.done()
    assert (await both)["slow"] == 2
    assert calls == [("a", "slow"), ("a",)]
