"""Each fault before each part, under a steady load: what callers get, how long they wait, when it is over."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from proof.faults.lab import FaultLab, count_missing_rows
from proof.faults.proxy import Fault
from proof.lab.load import CallResult, SteadyCalls, call_steadily, compute_quantile_ms
from proof.lab.report import ClaimRow
from proof.lab.scrape import read_metrics

FAULTS: Final[Mapping[str, Fault]] = {
    "slow by 100 ms": Fault("slow", ms=100),
    "down": Fault("down"),
    "hanging": Fault("hanging"),
    "connections forgotten": Fault("forgotten"),
    "reset": Fault("reset"),
    "reset in mid-answer": Fault("reset", after_bytes=150),
    "cut after 150 bytes": Fault("cut", after_bytes=150),
    "one byte at a time": Fault("trickle", ms=5),
    "slow close": Fault("slow_close", ms=1000),
    "flapping": Fault("flapping", ms=300),
    "garbled": Fault("garbled"),
}
VISIBLE: Final = frozenset({"down", "hanging", "reset", "garbled"})
"""Faults that nobody can overlook: where they leave no trace, there was none."""
SPOOLING: Final = frozenset({"down", "hanging"})
PER_S: Final = 24.0
_WARM_S, _HEALTHY_S, _MOST_S = 2.0, 10.0, 15.0
_RECOVERY_S, _GRACE_S = 10.0, 0.1
_CACHE_COST_MS: Final = 50.0
_DEADLINES_S: Final[Mapping[str, float]] = {"s3": 2.0, "predictor": 2.0}
"""What callers allow; where a part must cost no answer they allow what the service does."""


@dataclass(frozen=True)
class FaultCourse:
    """What became of requests: those answered before a fault, those that met it, those sent after it.

    ``recovery_s`` is when it was over; ``failed_lookups`` is how often the cache said nothing until then.
    """

    before: Sequence[CallResult]
    during: Sequence[CallResult]
    after: Sequence[CallResult]
    recovery_s: float
    failed_lookups: int

    @property
    def answers(self) -> Sequence[CallResult]:
        """All of them."""
        return [*self.before, *self.during, *self.after]

    @property
    def ends_well(self) -> bool:
        """Whether all was well before the fault, and is again soon after it."""
        return all(answer.is_ok for answer in self.before) and self.recovery_s <= _RECOVERY_S

    @property
    def statuses(self) -> str:
        """How many had which status, and how soon it was over."""
        found = sorted({answer.status for answer in self.answers})
        counts = ", ".join(f"{status}: {sum(a.status == status for a in self.answers)}" for status in found)
        early = sum(not answer.is_ok for answer in self.before)
        return (
            f"{counts}; "
            + (f"{early} failed before; " if early else "")
            + f"good after {self.recovery_s:.1f} s"
        )


@dataclass
class FaultMatrix:
    """The cells of one part, one after the other; ``answers`` are all that were ever given."""

    lab: FaultLab
    seconds: float
    answers: list[CallResult] = field(default_factory=list)

    async def run_part(self, part: str, faults: Mapping[str, Fault]) -> AsyncIterator[ClaimRow]:
        """Run a part through the faults."""
        healthy = (await self.run_fault(part, Fault(), _HEALTHY_S)).answers
        measured = f"{len(healthy)} requests, p99 {compute_quantile_ms(healthy, 0.99):.0f} ms"
        yield ClaimRow(f"{part}: healthy", "all 200", measured, all(answer.is_ok for answer in healthy))
        for name, fault in faults.items():
            course = await self.run_fault(part, fault, self.seconds)
            yield self._judge(part, name, course, healthy)

    async def run_fault(self, part: str, fault: Fault, seconds: float) -> FaultCourse:
        """Let a fault come, once the known radiographs are in the cache, and go, while the load goes on."""
        self.lab.empty_cache()
        deadline_s, questions = _DEADLINES_S.get(part), self.lab.cycle_image_ids()
        caller = self.lab.caller()
        timeout_ms = None if deadline_s is None else int(1000 * deadline_s)
        async with call_steadily(lambda: caller.ask(next(questions), timeout_ms=timeout_ms), PER_S) as load:
            await asyncio.sleep(_WARM_S)
            began_s, lookups = time.monotonic(), await self._count_failed_lookups()
            with self.lab.proxies[part].apply(fault):
                await asyncio.sleep(seconds)
            over_s = time.monotonic()
            recovery_s = await _wait_for_good_second(load, over_s)
            if part == "redis":
                recovery_s = max(recovery_s, await _wait_for_cached_answer(load, over_s))
            lookups = await self._count_failed_lookups() - lookups
        self.answers += load.answers
        before = [answer for answer in load.answers if answer.sent_s + answer.seconds < began_s]
        after = [answer for answer in load.answers if answer.sent_s >= over_s]
        during = [a for a in load.answers if a.sent_s < over_s and a.sent_s + a.seconds >= began_s]
        return FaultCourse(before, during, after, recovery_s, lookups)

    async def _count_failed_lookups(self) -> int:
        """How often the transformer's cache has said nothing."""
        url = self.lab.stack.record.parts["transformer"].url
        said = await asyncio.to_thread(read_metrics, f"{url}/metrics")
        return said.count_samples("pleura_cache_lookups_total", result="failed").total()

    def _judge(self, part: str, name: str, course: FaultCourse, healthy: Sequence[CallResult]) -> ClaimRow:
        claim = f"{part}: {name}"
        if part == "redis":
            return _judge_cache(claim, course, healthy, name in VISIBLE)
        if part == "postgres":
            rows = count_missing_rows(self.lab.dsn, course.answers)
            return _judge_journal(claim, course, rows, name in SPOOLING)
        return _judge_refusals(claim, course, _DEADLINES_S[part], name in VISIBLE)


async def _wait_for_good_second(load: SteadyCalls, over_s: float) -> float:
    """Wait for a second in which every request that was sent was answered; give when it began."""
    since_s = over_s
    while time.monotonic() - over_s < _MOST_S:
        failed = [a.sent_s for a in load.answers if not a.is_ok and since_s <= a.sent_s < since_s + 1]
        is_waiting = any(sent_s < since_s + 1 for sent_s in load.waiting.values())
        if failed:
            since_s = max(failed) + 0.001
        elif not is_waiting and time.monotonic() >= since_s + 1:
            return since_s - over_s
        await asyncio.sleep(0.05)
    return float("inf")


async def _wait_for_cached_answer(load: SteadyCalls, over_s: float) -> float:
    """Wait until an answer comes from the cache; give when it was asked for."""
    while time.monotonic() - over_s < _MOST_S:
        hits = [a.sent_s for a in load.answers if a.sent_s >= over_s and a.is_ok and a.document["cached"]]
        if hits:
            return min(hits) - over_s
        await asyncio.sleep(0.05)
    return float("inf")


def _judge_cache(claim: str, course: FaultCourse, healthy: Sequence[CallResult], must_bite: bool) -> ClaimRow:
    p99_ms, before_ms = compute_quantile_ms(course.during, 0.99), compute_quantile_ms(healthy, 0.99)
    holds = (
        all(answer.is_ok for answer in course.answers)
        and p99_ms <= before_ms + _CACHE_COST_MS
        and course.ends_well
        and (course.failed_lookups > 0 or not must_bite)
    )
    measured = (
        f"{course.statuses}, from the cache too; {course.failed_lookups} look-ups failed; "
        f"p99 {p99_ms:.0f} ms, healthy {before_ms:.0f} ms"
    )
    return ClaimRow(claim, f"all 200, p99 +{_CACHE_COST_MS:.0f} ms; {_RECOVERY_S:.0f} s", measured, holds)


def _judge_journal(claim: str, course: FaultCourse, rows: tuple[int, int], must_bite: bool) -> ClaimRow:
    missing, doubled = rows
    slowest_ms = compute_quantile_ms(course.answers, 1.0)
    spooled = sum(answer.is_ok and answer.document["journal"] == "spooled" for answer in course.answers)
    holds = (
        all(answer.is_ok for answer in course.answers)
        and missing == doubled == 0
        and course.ends_well
        and (spooled > 0 or not must_bite)
    )
    measured = (
        f"{course.statuses}; {spooled} spooled; {missing} without a row, {doubled} twice; "
        f"slowest {slowest_ms:.0f} ms"
    )
    return ClaimRow(claim, f"all 200, a row each; {_RECOVERY_S:.0f} s", measured, holds)


def _judge_refusals(claim: str, course: FaultCourse, deadline_s: float, must_bite: bool) -> ClaimRow:
    slowest_s = compute_quantile_ms(course.answers, 1.0) / 1000
    holds = (
        all(_is_judge_refusals(answer, deadline_s) for answer in course.answers)
        and slowest_s <= deadline_s + _GRACE_S
        and course.ends_well
        and not (must_bite and all(answer.is_ok for answer in course.during))
    )
    late = sum(answer.status == 504 for answer in course.answers)
    told = f"; the {late} of 504 without Retry-After: the caller's own time was over" if late else ""
    measured = f"{course.statuses}; slowest {slowest_s:.2f} s{told}"
    return ClaimRow(
        claim, f"200, 503, 504; {deadline_s + _GRACE_S:.1f} s; {_RECOVERY_S:.0f} s", measured, holds
    )


def _is_judge_refusals(answer: CallResult, deadline_s: float) -> bool:
    """Whether an answer is one, or says when to ask again, or that the caller's time has run out."""
    if answer.status == 504:
        return answer.seconds >= 0.9 * deadline_s
    return answer.is_ok or (answer.status == 503 and answer.retry_after is not None)


def check_every_answer_has_a_row(matrix: FaultMatrix) -> ClaimRow:
    """Compare all that was ever answered with the journal."""
    missing, doubled = count_missing_rows(matrix.lab.dsn, matrix.answers)
    given = sum(answer.is_ok for answer in matrix.answers)
    measured = f"{given} of {len(matrix.answers)} requests answered: {missing} without a row, {doubled} twice"
    return ClaimRow(
        "every answer of the matrix is in the journal", "a row each", measured, missing == doubled == 0
    )
