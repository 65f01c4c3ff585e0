"""Three times what the machine can answer, for minutes: ``python -m proof.load.overload BUNDLE [SECONDS]``.

First callers, 1 to 16 at once, find how many radiographs a second are answered at best. Then three times as
many are asked about at a steady rate, by strangers who do not wait for each other. What is let in must be
answered, as many as at best; what is not must be told at once. The cache is emptied all the time: every
question costs an inference.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from redis.asyncio import Redis

from proof.lab.load import (
    Ask,
    Caller,
    CallResult,
    call_at_rate,
    call_from_many,
    compute_quantile_ms,
    upload_fresh_ids,
)
from proof.lab.processes import ProcessSample, ProcessWatcher, compute_mean
from proof.lab.report import ClaimRow, print_claims
from proof.lab.running_stack import RunningStack
from proof.lab.stack import running_stack

_CALLERS: Final = (1, 2, 4, 8, 16)
_PEAK_S: Final = 10.0
_REST_S: Final = 5.0
_PAUSE_S: Final = 0.25
_KEPT_S: Final = 0.1
"""How long an answer stays in the cache, at most: it comes seconds before its question is asked again."""
_OVERLOAD: Final = 3.0
_NAMES: Final = 600
_REFUSED: Final = (429, 503)
_LEAST_SHARE: Final = 0.9
_LONGEST_REFUSAL_MS: Final = 50.0
_MOST_LOAD: Final = 0.1
_GROWTH_MB, _GROWTH_SHARE = 5.0, 0.05


@dataclass(frozen=True)
class OverloadResult:
    """What was measured."""

    peak_per_s: float
    offered_s: float
    answers: Sequence[CallResult]
    load_share: float
    after_per_s: float
    after: Sequence[CallResult]
    seen: Sequence[ProcessSample]

    @property
    def answered(self) -> list[CallResult]:
        """What was let in and answered."""
        return [answer for answer in self.answers if answer.is_ok]

    @property
    def refused(self) -> list[CallResult]:
        """What was refused as it should be."""
        return [each for each in self.answers if each.status in _REFUSED and each.retry_after]

    @property
    def goodput_per_s(self) -> float:
        """Answers a second under overload."""
        return len(self.answered) / self.offered_s


async def measure_best_rate(ask: Ask, seconds: float) -> float:
    """Answers a second, with as many callers as give the most."""

    async def ask_politely() -> CallResult:
        answer = await ask()
        if not answer.is_ok:
            await asyncio.sleep(_PAUSE_S)  # else the refused would hammer, and lower what is to be measured
        return answer

    rates = []
    for callers in _CALLERS:
        began_s = time.monotonic()
        answers = await call_from_many(ask_politely, callers, seconds)
        rates.append(sum(answer.is_ok for answer in answers) / (time.monotonic() - began_s))
    return max(rates)


async def run_overload(stack: RunningStack, seconds: float, peak_s: float = _PEAK_S) -> OverloadResult:
    """Find the peak, offer three times as much, and see what is left of it."""
    names = await asyncio.to_thread(_names, stack)
    caller = Caller(stack.record.address, stack.make_token())

    def ask() -> asyncio.Future[CallResult]:
        return asyncio.ensure_future(caller.ask(next(names)))

    watcher, stop = ProcessWatcher(stack), asyncio.Event()
    emptying = asyncio.create_task(_keep_empty(stack))
    await call_from_many(ask, 4, peak_s / 2)
    peak_per_s = await measure_best_rate(ask, peak_s)
    watching = asyncio.create_task(watcher.run(stop))
    cpu_s = time.process_time()
    answers = await call_at_rate(ask, _OVERLOAD * peak_per_s, seconds)
    load_share = (time.process_time() - cpu_s) / seconds
    stop.set()
    await watching
    await asyncio.sleep(min(_REST_S, peak_s))
    after = await call_from_many(ask, 4, peak_s)
    emptying.cancel()
    with suppress(asyncio.CancelledError):
        await emptying
    await caller.close()
    after_per_s = sum(answer.is_ok for answer in after) / peak_s
    return OverloadResult(peak_per_s, seconds, answers, load_share, after_per_s, after, watcher.samples)


def _names(stack: RunningStack) -> Iterator[str]:
    names = upload_fresh_ids(stack.record, _NAMES, size_px=1024)
    next(names)
    return names


async def _keep_empty(stack: RunningStack) -> None:
    async with Redis.from_url(stack.record.parts["valkey"].url) as redis:
        while True:
            await redis.flushall()
            await asyncio.sleep(_KEPT_S)


def build_claim_rows(measured: OverloadResult) -> list[ClaimRow]:
    """What is claimed, and what was measured."""
    counts = Counter(answer.status for answer in measured.answers)
    answered, refused = measured.answered, measured.refused
    others = len(measured.answers) - len(answered) - len(refused)
    share = measured.goodput_per_s / measured.peak_per_s
    refusal_ms, longest_ms = compute_quantile_ms(refused, 0.99), compute_quantile_ms(refused, 1)
    failed_after = sum(not answer.is_ok for answer in measured.after)
    cached = sum(answer.document["cached"] for answer in answered)
    reasons = Counter(answer.document["error"] for answer in refused)
    return [
        ClaimRow(
            "answers a second at three times the peak",
            f">= {_LEAST_SHARE:.0%} of {measured.peak_per_s:.1f}",
            f"{measured.goodput_per_s:.1f} ({share:.0%}); after it {measured.after_per_s:.1f}",
            share >= _LEAST_SHARE,
        ),
        ClaimRow(
            "neither answered nor 429 or 503 with Retry-After",
            "0",
            f"{others} of {dict(counts)}; {dict(reasons)}",
            not others,
        ),
        ClaimRow("answers from the cache", "0", f"{cached} of {len(answered)}", not cached),
        ClaimRow(
            "time to a refusal: p99, which is judged; longest",
            f"p99 <= {_LONGEST_REFUSAL_MS:.0f} ms",
            f"{refusal_ms:.1f}, {longest_ms:.1f} ms (p50 {compute_quantile_ms(refused, 0.5):.1f})",
            refusal_ms <= _LONGEST_REFUSAL_MS,
        ),
        ClaimRow(
            "time to an answer, p50, p99, longest",
            "-",
            ", ".join(f"{compute_quantile_ms(answered, q):.0f}" for q in (0.5, 0.99, 1)) + " ms",
            None,
        ),
        ClaimRow(
            "failures after the overload", "0", f"{failed_after} of {len(measured.after)}", not failed_after
        ),
        *(_memory(part, measured.seen) for part in sorted({sample.part for sample in measured.seen})),
        ClaimRow(
            "processor time of the load itself",
            f"<= {_MOST_LOAD:.0%} of a core",
            f"{measured.load_share:.1%}",
            measured.load_share <= _MOST_LOAD,
        ),
    ]


def _memory(part: str, seen: Sequence[ProcessSample]) -> ClaimRow:
    """Whether a part's memory in the last minute is that of the first."""
    of = [sample for sample in seen if sample.part == part]
    span_s = min(60.0, (of[-1].at_s - of[0].at_s) / 3)
    first = compute_mean([s.rss_mb for s in of if s.at_s <= of[0].at_s + span_s])
    last = compute_mean([s.rss_mb for s in of if s.at_s >= of[-1].at_s - span_s])
    bound = first * (1 + _GROWTH_SHARE) + _GROWTH_MB
    return ClaimRow(
        f"memory of {part}, first and last minute",
        f"<= {bound:.0f} MB",
        f"{first:.0f}, {last:.0f} MB",
        last <= bound,
    )


def main() -> int:
    """Run the campaign."""
    parser = argparse.ArgumentParser(prog="proof.load.overload")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("seconds", type=float, nargs="?", default=300.0)
    arguments = parser.parse_args()
    with running_stack(arguments.bundle) as stack:
        measured = asyncio.run(run_overload(stack, arguments.seconds))
    return print_claims(
        f"{_OVERLOAD:.0f}x overload for {arguments.seconds:.0f} s", build_claim_rows(measured)
    )


if __name__ == "__main__":
    sys.exit(main())
