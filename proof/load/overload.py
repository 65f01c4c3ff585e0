"""Three times the best rate, for minutes: ``python -m proof.load.overload BUNDLE [SECONDS]``.

First 1 to 16 callers find the best rate of answers. Then three times as many requests arrive at a steady
rate, without waiting for answers. The service must still answer at its best rate, and refuse the others at
once. The cache is emptied all the time, so that every answer costs an inference.
"""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis

from proof.lab.arguments import parse_campaign
from proof.lab.load import (
    Caller,
    CallResult,
    Send,
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
_RECOVERY_S: Final = 5.0
_PAUSE_S: Final = 0.25
# Emptied every half second, the cache still gave 5 of 8,849 answers.
_EMPTY_EVERY_S: Final = 0.1
"""The interval at which the cache is emptied. The same radiograph is requested again only seconds later."""
_OVERLOAD: Final = 3.0
# So many that a radiograph is requested again only long after its first request has left the queue.
_RADIOGRAPHS: Final = 600
_REFUSED: Final = (429, 503)
_MIN_SHARE: Final = 0.9
_MAX_REFUSAL_MS: Final = 50.0
_MAX_LOAD_SHARE: Final = 0.1
_GROWTH_MB, _GROWTH_SHARE = 5.0, 0.05


@dataclass(frozen=True)
class OverloadResult:
    """The measurements of the campaign."""

    peak_per_s: float
    offered_s: float
    answers: Sequence[CallResult]
    load_share: float
    after_per_s: float
    after: Sequence[CallResult]
    samples: Sequence[ProcessSample]

    @property
    def answered(self) -> list[CallResult]:
        """The answers with findings."""
        return [answer for answer in self.answers if answer.is_ok]

    @property
    def refused(self) -> list[CallResult]:
        """The refusals that have a Retry-After."""
        return [answer for answer in self.answers if answer.status in _REFUSED and answer.retry_after]

    @property
    def goodput_per_s(self) -> float:
        """Answers a second under overload."""
        return len(self.answered) / self.offered_s


async def measure_best_rate(send: Send, seconds: float) -> float:
    """Measure the answers a second with the number of callers that gives the most."""

    async def send_and_pause() -> CallResult:
        answer = await send()
        if not answer.is_ok:
            await asyncio.sleep(_PAUSE_S)  # refused callers that return at once would lower the rate
        return answer

    rates = []
    for callers in _CALLERS:
        began_s = time.monotonic()
        answers = await call_from_many(send_and_pause, callers, seconds)
        rates.append(sum(answer.is_ok for answer in answers) / (time.monotonic() - began_s))
    return max(rates)


async def run_overload(stack: RunningStack, seconds: float, peak_s: float = _PEAK_S) -> OverloadResult:
    """Measure the best rate, then the rate of answers at three times as many requests."""
    ids = await asyncio.to_thread(_upload_radiographs, stack)
    caller = Caller(stack.record.address, stack.make_token())

    def send() -> asyncio.Future[CallResult]:
        return asyncio.ensure_future(caller.send_id(next(ids)))

    watcher, stop = ProcessWatcher(stack), asyncio.Event()
    emptying = asyncio.create_task(_keep_cache_empty(stack))
    await call_from_many(send, 4, peak_s / 2)
    peak_per_s = await measure_best_rate(send, peak_s)
    sampling = asyncio.create_task(watcher.run(stop))
    cpu_s = time.process_time()
    answers = await call_at_rate(send, _OVERLOAD * peak_per_s, seconds)
    # The load shares the cores with the services, and must not be what is measured.
    load_share = (time.process_time() - cpu_s) / seconds
    stop.set()
    await sampling
    await asyncio.sleep(min(_RECOVERY_S, peak_s))
    # The cache is still emptied: otherwise this would be the rate of cached answers.
    after = await call_from_many(send, 4, peak_s)
    emptying.cancel()
    with suppress(asyncio.CancelledError):
        await emptying
    await caller.close()
    after_per_s = sum(answer.is_ok for answer in after) / peak_s
    return OverloadResult(peak_per_s, seconds, answers, load_share, after_per_s, after, watcher.samples)


def _upload_radiographs(stack: RunningStack) -> Iterator[str]:
    ids = upload_fresh_ids(stack.record, _RADIOGRAPHS, size_px=1024)
    # The first value uploads all radiographs, which must not happen during the measurement.
    next(ids)
    return ids


async def _keep_cache_empty(stack: RunningStack) -> None:
    async with Redis.from_url(stack.record.parts["valkey"].url) as redis:
        while True:
            await redis.flushall()
            await asyncio.sleep(_EMPTY_EVERY_S)


def build_claim_rows(result: OverloadResult) -> list[ClaimRow]:
    """Build all claims of the campaign."""
    counts = Counter(answer.status for answer in result.answers)
    answered, refused = result.answered, result.refused
    others = len(result.answers) - len(answered) - len(refused)
    share = result.goodput_per_s / result.peak_per_s
    refusal_ms, longest_ms = compute_quantile_ms(refused, 0.99), compute_quantile_ms(refused, 1)
    failed_after = sum(not answer.is_ok for answer in result.after)
    cached = sum(answer.document["cached"] for answer in answered)
    reasons = Counter(answer.document["error"] for answer in refused)
    return [
        ClaimRow(
            "answers a second at three times the peak",
            f">= {_MIN_SHARE:.0%} of {result.peak_per_s:.1f}",
            f"{result.goodput_per_s:.1f} ({share:.0%}); afterwards {result.after_per_s:.1f}",
            share >= _MIN_SHARE,
        ),
        ClaimRow(
            "neither answered nor 429 or 503 with Retry-After",
            "0",
            f"{others} of {dict(counts)}; {dict(reasons)}",
            not others,
        ),
        ClaimRow("answers from the cache", "0", f"{cached} of {len(answered)}", not cached),
        ClaimRow(
            "time to a refusal: p99 (judged), longest",
            f"p99 <= {_MAX_REFUSAL_MS:.0f} ms",
            f"{refusal_ms:.1f}, {longest_ms:.1f} ms (p50 {compute_quantile_ms(refused, 0.5):.1f})",
            refusal_ms <= _MAX_REFUSAL_MS,
        ),
        ClaimRow(
            "time to an answer, p50, p99, longest",
            "-",
            ", ".join(f"{compute_quantile_ms(answered, q):.0f}" for q in (0.5, 0.99, 1)) + " ms",
            None,
        ),
        ClaimRow(
            "failures after the overload", "0", f"{failed_after} of {len(result.after)}", not failed_after
        ),
        *(
            _build_memory_row(part, result.samples)
            for part in sorted({sample.part for sample in result.samples})
        ),
        ClaimRow(
            "processor time of the load generator",
            f"<= {_MAX_LOAD_SHARE:.0%} of a core",
            f"{result.load_share:.1%}",
            result.load_share <= _MAX_LOAD_SHARE,
        ),
    ]


def _build_memory_row(part: str, samples: Sequence[ProcessSample]) -> ClaimRow:
    """Check that a part uses no more memory in the last minute than in the first."""
    own = [sample for sample in samples if sample.part == part]
    span_s = min(60.0, (own[-1].at_s - own[0].at_s) / 3)
    first = compute_mean([s.rss_mb for s in own if s.at_s <= own[0].at_s + span_s])
    last = compute_mean([s.rss_mb for s in own if s.at_s >= own[-1].at_s - span_s])
    bound = first * (1 + _GROWTH_SHARE) + _GROWTH_MB
    return ClaimRow(
        f"memory of {part}, first and last minute",
        f"<= {bound:.0f} MB",
        f"{first:.0f}, {last:.0f} MB",
        last <= bound,
    )


def main() -> int:
    """Run the campaign. The exit status is 0 if every claim holds."""
    arguments = parse_campaign("proof.load.overload", seconds=300.0)
    with running_stack(arguments.bundle) as stack:
        result = asyncio.run(run_overload(stack, arguments.seconds))
    return print_claims(f"{_OVERLOAD:.0f}x overload for {arguments.seconds:.0f} s", build_claim_rows(result))


if __name__ == "__main__":
    sys.exit(main())
