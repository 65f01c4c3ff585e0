"""Apply each fault to each part under a steady load, and judge answers, waiting times and recovery."""

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
"""Faults that always leave a trace. Without a trace the fault was not applied."""
SPOOLING: Final = frozenset({"down", "hanging"})
PER_S: Final = 24.0
_WARM_UP_S, _HEALTHY_S, _TIMEOUT_S = 2.0, 10.0, 15.0
_RECOVERY_S, _GRACE_S = 10.0, 0.1
_CACHE_COST_MS: Final = 50.0
# Only these two are needed for an answer.
_DEADLINES_S: Final[Mapping[str, float]] = {"s3": 2.0, "predictor": 2.0}
"""The callers' deadline by part. For the other parts no fault may cost an answer, so callers set none."""


@dataclass(frozen=True)
class FaultRun:
    """The answers before, during and after a fault.

    ``recovery_s`` is the time from the end of the fault to normal answers.
    ``failed_lookups`` counts look-ups in the cache that failed until then.
    """

    before: Sequence[CallResult]
    during: Sequence[CallResult]
    after: Sequence[CallResult]
    recovery_s: float
    failed_lookups: int

    @property
    def answers(self) -> Sequence[CallResult]:
        """All answers."""
        return [*self.before, *self.during, *self.after]

    @property
    def has_recovered(self) -> bool:
        """Whether every request before the fault was answered, and the stack recovered in time."""
        return all(answer.is_ok for answer in self.before) and self.recovery_s <= _RECOVERY_S

    @property
    def summary(self) -> str:
        """The number of answers by status, and the recovery time."""
        statuses = sorted({answer.status for answer in self.answers})
        counts = ", ".join(
            f"{status}: {sum(a.status == status for a in self.answers)}" for status in statuses
        )
        early = sum(not answer.is_ok for answer in self.before)
        return (
            f"{counts}; "
            + (f"{early} failed before; " if early else "")
            + f"recovered after {self.recovery_s:.1f} s"
        )


@dataclass
class FaultMatrix:
    """Runs each fault on each part. ``answers`` collects the answers of all runs."""

    lab: FaultLab
    seconds: float
    answers: list[CallResult] = field(default_factory=list)

    async def run_part(self, part: str, faults: Mapping[str, Fault]) -> AsyncIterator[ClaimRow]:
        """Run the faults on one part, one after the other."""
        healthy = (await self.run_fault(part, Fault(), _HEALTHY_S)).answers
        measured = f"{len(healthy)} requests, p99 {compute_quantile_ms(healthy, 0.99):.0f} ms"
        yield ClaimRow(f"{part}: healthy", "all 200", measured, all(answer.is_ok for answer in healthy))
        for name, fault in faults.items():
            run = await self.run_fault(part, fault, self.seconds)
            yield self._judge(part, name, run, healthy)

    async def run_fault(self, part: str, fault: Fault, seconds: float) -> FaultRun:
        """Apply a fault under load for some seconds, once the known radiographs are in the cache."""
        self.lab.empty_cache()
        deadline_s, ids = _DEADLINES_S.get(part), self.lab.cycle_image_ids()
        timeout_ms = None if deadline_s is None else int(1000 * deadline_s)
        async with (
            self.lab.make_caller() as caller,
            call_steadily(lambda: caller.send_id(next(ids), timeout_ms=timeout_ms), PER_S) as load,
        ):
            # The cache is filled again, because claims are about cached answers too.
            await asyncio.sleep(_WARM_UP_S)
            began_s, lookups = time.monotonic(), await self._count_failed_lookups()
            with self.lab.proxies[part].apply(fault):
                await asyncio.sleep(seconds)
            healed_s = time.monotonic()
            recovery_s = await _wait_for_good_second(load, healed_s)
            if part == "redis":
                # Answers alone do not show that Redis is back: all requests are answered without it.
                recovery_s = max(recovery_s, await _wait_for_cached_answer(load, healed_s))
            lookups = await self._count_failed_lookups() - lookups
        self.answers += load.answers
        # A request that is under way when the fault begins, or ends, meets the fault: it counts as during.
        before = [answer for answer in load.answers if answer.sent_s + answer.seconds < began_s]
        after = [answer for answer in load.answers if answer.sent_s >= healed_s]
        during = [a for a in load.answers if a.sent_s < healed_s and a.sent_s + a.seconds >= began_s]
        return FaultRun(before, during, after, recovery_s, lookups)

    async def _count_failed_lookups(self) -> int:
        """Count the look-ups in the transformer's cache that have failed."""
        url = self.lab.stack.record.parts["transformer"].url
        metrics = await asyncio.to_thread(read_metrics, f"{url}/metrics")
        return metrics.count_samples("pleura_cache_lookups_total", result="failed").total()

    def _judge(self, part: str, name: str, run: FaultRun, healthy: Sequence[CallResult]) -> ClaimRow:
        claim = f"{part}: {name}"
        if part == "redis":
            return _judge_cache(claim, run, healthy, name in VISIBLE)
        if part == "postgres":
            rows = count_missing_rows(self.lab.dsn, run.answers)
            return _judge_journal(claim, run, rows, name in SPOOLING)
        return _judge_refusals(claim, run, _DEADLINES_S[part], name in VISIBLE)


async def _wait_for_good_second(load: SteadyCalls, healed_s: float) -> float:
    """Wait for a second in which each request was answered, and return its start."""
    since_s = healed_s
    while time.monotonic() - healed_s < _TIMEOUT_S:
        failed = [a.sent_s for a in load.answers if not a.is_ok and since_s <= a.sent_s < since_s + 1]
        # A request of that second that still waits may fail yet.
        is_waiting = any(sent_s < since_s + 1 for sent_s in load.waiting.values())
        if failed:
            # Start again behind the last failure, so that one lucky second between failures does not count.
            since_s = max(failed) + 0.001
        elif not is_waiting and time.monotonic() >= since_s + 1:
            return since_s - healed_s
        await asyncio.sleep(0.05)
    return float("inf")


async def _wait_for_cached_answer(load: SteadyCalls, healed_s: float) -> float:
    """Wait for an answer from the cache, and return when its request was sent."""
    while time.monotonic() - healed_s < _TIMEOUT_S:
        hits = [a.sent_s for a in load.answers if a.sent_s >= healed_s and a.is_ok and a.document["cached"]]
        if hits:
            return min(hits) - healed_s
        await asyncio.sleep(0.05)
    return float("inf")


def _judge_cache(claim: str, run: FaultRun, healthy: Sequence[CallResult], must_show: bool) -> ClaimRow:
    p99_ms, before_ms = compute_quantile_ms(run.during, 0.99), compute_quantile_ms(healthy, 0.99)
    holds = (
        all(answer.is_ok for answer in run.answers)
        and p99_ms <= before_ms + _CACHE_COST_MS
        and run.has_recovered
        # Where the fault was never applied, all answers are 200 too.
        and (run.failed_lookups > 0 or not must_show)
    )
    measured = (
        f"{run.summary}; {run.failed_lookups} look-ups failed; "
        f"p99 {p99_ms:.0f} ms, healthy {before_ms:.0f} ms"
    )
    return ClaimRow(claim, f"all 200, p99 +{_CACHE_COST_MS:.0f} ms; {_RECOVERY_S:.0f} s", measured, holds)


def _judge_journal(claim: str, run: FaultRun, rows: tuple[int, int], must_show: bool) -> ClaimRow:
    missing, duplicates = rows
    slowest_ms = compute_quantile_ms(run.answers, 1.0)
    spooled = sum(answer.is_ok and answer.document["journal"] == "spooled" for answer in run.answers)
    holds = (
        all(answer.is_ok for answer in run.answers)
        and missing == duplicates == 0
        and run.has_recovered
        and (spooled > 0 or not must_show)
    )
    measured = (
        f"{run.summary}; {spooled} spooled; {missing} without a row, {duplicates} duplicates; "
        f"slowest {slowest_ms:.0f} ms"
    )
    return ClaimRow(claim, f"all 200, a row each; {_RECOVERY_S:.0f} s", measured, holds)


def _judge_refusals(claim: str, run: FaultRun, deadline_s: float, must_show: bool) -> ClaimRow:
    slowest_s = compute_quantile_ms(run.answers, 1.0) / 1000
    holds = (
        all(_is_allowed(answer, deadline_s) for answer in run.answers)
        and slowest_s <= deadline_s + _GRACE_S
        and run.has_recovered
        # As above: some request must have met the fault.
        and not (must_show and all(answer.is_ok for answer in run.during))
    )
    late = sum(answer.status == 504 for answer in run.answers)
    note = f"; {late} with 504 after the caller's own deadline, without Retry-After" if late else ""
    measured = f"{run.summary}; slowest {slowest_s:.2f} s{note}"
    return ClaimRow(
        claim, f"200, 503, 504; {deadline_s + _GRACE_S:.1f} s; {_RECOVERY_S:.0f} s", measured, holds
    )


def _is_allowed(answer: CallResult, deadline_s: float) -> bool:
    """Say whether an answer has findings, has Retry-After, or comes after the caller's deadline."""
    if answer.status == 504:
        # A 504 that comes early gives up work for which there was time.
        return answer.seconds >= 0.9 * deadline_s
    return answer.is_ok or (answer.status == 503 and answer.retry_after is not None)


def check_every_answer_has_a_row(matrix: FaultMatrix) -> ClaimRow:
    """Check that the journal has one row for each answer of all runs."""
    missing, duplicates = count_missing_rows(matrix.lab.dsn, matrix.answers)
    answered = sum(answer.is_ok for answer in matrix.answers)
    measured = (
        f"{answered} of {len(matrix.answers)} requests answered: {missing} without a row, "
        f"{duplicates} duplicates"
    )
    return ClaimRow(
        "every answer of the matrix is in the journal", "a row each", measured, missing == duplicates == 0
    )
