"""Twenty thousand requests in a row: ``python -m proof.load.soak BUNDLE [REQUESTS]``.

The cache answers most requests. Some need an inference, and some name an object that does not exist. After a
warm-up, memory, descriptors and threads of each process must be the same in the first and the last quarter.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

import psutil  # type: ignore[import-untyped]

from proof.lab.arguments import parse_campaign
from proof.lab.grpc_caller import GrpcCaller
from proof.lab.known_radiographs import KnownRadiographs
from proof.lab.load import Caller, CallResult
from proof.lab.processes import ProcessSample, ProcessWatcher, compute_mean, find_processes
from proof.lab.report import ClaimRow, print_claims
from proof.lab.running_stack import RunningStack
from proof.lab.stack import running_stack

_CALLERS: Final = 8
_WARM_UP: Final = 2000
_QUARTERS: Final = 4
_MB: Final = 2**20
_MAX_MB: Final = {"predictor": 400.0, "transformer": 350.0, "auth_proxy": 120.0}
_GROWTH_SHARE, _GROWTH_MB, _GROWTH_NUMBER = 0.03, 3.0, 5
_EXPECTED: Final = frozenset({200, 404})


@dataclass(frozen=True)
class SoakResult:
    """The answers, and the samples of the processes in each quarter."""

    answers: Sequence[CallResult]
    wrong: int
    quarters: Sequence[Sequence[ProcessSample]]
    fair_mb: Counter[str]


class RequestMix:
    """A mix of 20 requests: 1 new radiograph, 1 missing object, 18 known radiographs. 3 go over gRPC."""

    def __init__(self, rest: Caller, grpc: GrpcCaller, radiographs: KnownRadiographs) -> None:
        self._rest, self._grpc, self._radiographs = rest, grpc, radiographs
        self._number = count()

    def send_next(self) -> Awaitable[CallResult]:
        """Send the next request of the mix."""
        match next(self._number) % 20:
            case 0:
                return self._rest.send_id(self._radiographs.next_fresh_id())
            case 1:
                return self._rest.send_id("proof/none-0.png")
            case 2 | 3 | 4:
                return self._grpc.send_id(self._radiographs.next_known_id())
            case _:
                return self._rest.send_id(self._radiographs.next_known_id())


async def _send_requests(send: Callable[[], Awaitable[CallResult]], requests: int) -> list[CallResult]:
    remaining, answers = iter(range(requests)), []

    async def call() -> None:
        for _ in remaining:
            answers.append(await send())

    await asyncio.gather(*(call() for _ in range(_CALLERS)))
    return answers


async def run_soak(stack: RunningStack, requests: int, warm_up: int = _WARM_UP) -> SoakResult:
    """Send the requests, and sample the processes all the time."""
    radiographs = await asyncio.to_thread(KnownRadiographs, stack.record.store)
    await asyncio.to_thread(radiographs.upload, (requests + warm_up) // 20 + 1)
    rest = Caller(stack.record.address, stack.make_token())
    grpc = GrpcCaller(stack.record.grpc_address, stack.make_token())
    await radiographs.learn_answers(rest.send_id)
    mix = RequestMix(rest, grpc, radiographs)
    # What a service takes for its first files and callers is its size, and not growth.
    answers, quarters = await _send_requests(mix.send_next, warm_up), []
    for _ in range(_QUARTERS):
        watcher, stop = ProcessWatcher(stack, interval_s=0.5), asyncio.Event()
        sampling = asyncio.create_task(watcher.run(stop))
        answers += await _send_requests(mix.send_next, requests // _QUARTERS)
        stop.set()
        await sampling
        quarters.append(watcher.samples)
    await grpc.close()
    await rest.close()
    fair_mb = await asyncio.to_thread(_measure_fair_mb, stack)
    return SoakResult(answers, len(radiographs.find_wrong(answers)), quarters, fair_mb)


def _measure_fair_mb(stack: RunningStack) -> Counter[str]:
    """Measure the memory of each part and its children. Shared pages count once."""
    megabytes: Counter[str] = Counter()
    for process, part in find_processes(stack).items():
        full = psutil.Process(process.pid).memory_full_info()
        megabytes[part.partition("/")[0]] += round(full.pss / _MB)
    return megabytes


def build_claim_rows(result: SoakResult) -> list[ClaimRow]:
    """Build all claims of the campaign."""
    counts = Counter(answer.status for answer in result.answers)
    others = sum(number for status, number in counts.items() if status not in _EXPECTED)
    fresh = sum(answer.is_ok and not answer.document["cached"] for answer in result.answers)
    measured = f"{others} of {dict(counts)}, {fresh} not from the cache"
    parts = sorted({sample.part for sample in result.quarters[0]})
    return [
        ClaimRow("answers other than 200, and 404 for missing objects", "0", measured, not others),
        ClaimRow("answers for another radiograph", "0", f"{result.wrong}", not result.wrong),
        *(_build_maximum_row(part, result) for part in _MAX_MB),
        *(_build_growth_row(part, result) for part in parts),
    ]


def _select_part(part: str, samples: Sequence[ProcessSample]) -> list[ProcessSample]:
    return [sample for sample in samples if sample.part == part]


def _build_maximum_row(part: str, result: SoakResult) -> ClaimRow:
    largest_mb = max(sample.rss_mb for quarter in result.quarters for sample in _select_part(part, quarter))
    return ClaimRow(
        f"largest memory of {part} (RSS; with its children, shared pages counted once)",
        f"<= {_MAX_MB[part]:.0f} MB",
        f"{largest_mb:.0f} MB ({result.fair_mb[part]} MB)",
        largest_mb <= _MAX_MB[part],
    )


def _build_growth_row(part: str, result: SoakResult) -> ClaimRow:
    first, last = _select_part(part, result.quarters[0]), _select_part(part, result.quarters[-1])
    # A process is compared with itself only: PostgreSQL starts a worker now and then.
    lasting = {sample.process for sample in first} & {sample.process for sample in last}
    first, last = ([sample for sample in samples if sample.process in lasting] for samples in (first, last))
    mb = [compute_mean([sample.rss_mb for sample in samples]) for samples in (first, last)]
    descriptors = [compute_mean([sample.descriptors for sample in samples]) for samples in (first, last)]
    threads = [compute_mean([sample.threads for sample in samples]) for samples in (first, last)]
    return ClaimRow(
        f"{part}, first and last quarter: memory; descriptors; threads",
        "flat",
        f"{mb[0]:.1f}, {mb[1]:.1f} MB; {descriptors[0]:.0f}, {descriptors[1]:.0f}; "
        f"{threads[0]:.0f}, {threads[1]:.0f}",
        # Without a process that lives from the first quarter to the last nothing is shown.
        bool(lasting)
        and mb[1] <= mb[0] * (1 + _GROWTH_SHARE) + _GROWTH_MB
        and descriptors[1] <= descriptors[0] + _GROWTH_NUMBER
        and threads[1] <= threads[0] + _GROWTH_NUMBER,
    )


def main() -> int:
    """Run the campaign. The exit status is 0 if every claim holds."""
    arguments = parse_campaign("proof.load.soak", requests=20_000)
    with running_stack(arguments.bundle) as stack:
        result = asyncio.run(run_soak(stack, arguments.requests))
    return print_claims(f"{arguments.requests} requests", build_claim_rows(result))


if __name__ == "__main__":
    sys.exit(main())
