"""Twenty thousand requests, and what they leave behind: ``python -m proof.load.soak BUNDLE [REQUESTS]``.

Most are answered from the cache, some are not, some are refused; over REST and gRPC. Memory, descriptors and
threads of each process are compared between the first quarter and the last, after a warm-up.
"""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]

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
_MOST_MB: Final = {"predictor": 400.0, "transformer": 350.0, "auth_proxy": 120.0}
_GROWTH_SHARE, _GROWTH_MB, _GROWTH_NUMBER = 0.03, 3.0, 5
_EXPECTED: Final = frozenset({200, 404})


@dataclass(frozen=True)
class SoakResult:
    """What was answered, and what the processes held in each quarter."""

    answers: Sequence[CallResult]
    wrong: int
    quarters: Sequence[Sequence[ProcessSample]]
    shares_mb: Counter[str]


class RequestMix:
    """Of 20 requests 1 about a new radiograph, 1 about none, 3 over gRPC, the rest about known ones."""

    def __init__(self, rest: Caller, grpc: GrpcCaller, questions: KnownRadiographs) -> None:
        self._rest, self._grpc, self._questions = rest, grpc, questions
        self._number = count()

    def ask(self) -> Awaitable[CallResult]:
        """Ask the next question."""
        match next(self._number) % 20:
            case 0:
                return self._rest.ask(self._questions.next_fresh_id())
            case 1:
                return self._rest.ask("proof/none-0.png")
            case 2 | 3 | 4:
                return self._grpc.ask(self._questions.next_known_id())
            case _:
                return self._rest.ask(self._questions.next_known_id())


async def _ask_so_many(ask: Callable[[], Awaitable[CallResult]], requests: int) -> list[CallResult]:
    left, answers = iter(range(requests)), []

    async def call() -> None:
        for _ in left:
            answers.append(await ask())

    await asyncio.gather(*(call() for _ in range(_CALLERS)))
    return answers


async def run_soak(stack: RunningStack, requests: int, warm_up: int = _WARM_UP) -> SoakResult:
    """Ask so many times, and look at the processes all the while."""
    questions = await asyncio.to_thread(KnownRadiographs, stack.record.store)
    await asyncio.to_thread(questions.upload, (requests + warm_up) // 20 + 1)
    rest = Caller(stack.record.address, stack.make_token())
    grpc = GrpcCaller(stack.record.grpc_address, stack.make_token())
    await questions.learn_answers(rest.ask)
    mix = RequestMix(rest, grpc, questions)
    answers, quarters = await _ask_so_many(mix.ask, warm_up), []
    for _ in range(_QUARTERS):
        watcher, stop = ProcessWatcher(stack, interval_s=0.5), asyncio.Event()
        watching = asyncio.create_task(watcher.run(stop))
        answers += await _ask_so_many(mix.ask, requests // _QUARTERS)
        stop.set()
        await watching
        quarters.append(watcher.samples)
    await grpc.close()
    await rest.close()
    shares_mb = await asyncio.to_thread(_shares_mb, stack)
    return SoakResult(answers, len(questions.find_wrong(answers)), quarters, shares_mb)


def _shares_mb(stack: RunningStack) -> Counter[str]:
    """Memory of each part with all that it started, shared pages counted once."""
    shares: Counter[str] = Counter()
    for process, part in find_processes(stack).items():
        full = psutil.Process(process.pid).memory_full_info()
        shares[part.partition("/")[0]] += round(full.pss / _MB)
    return shares


def build_claim_rows(soaked: SoakResult) -> list[ClaimRow]:
    """What is claimed, and what was measured."""
    counts = Counter(answer.status for answer in soaked.answers)
    others = sum(number for status, number in counts.items() if status not in _EXPECTED)
    fresh = sum(answer.is_ok and not answer.document["cached"] for answer in soaked.answers)
    told = f"{others} of {dict(counts)}, {fresh} not from the cache"
    parts = sorted({sample.part for sample in soaked.quarters[0]})
    return [
        ClaimRow("answers other than 200 and, for what is not there, 404", "0", told, not others),
        ClaimRow("answers about another radiograph", "0", f"{soaked.wrong}", not soaked.wrong),
        *(_most(part, soaked) for part in _MOST_MB),
        *(_flat(part, soaked) for part in parts),
    ]


def _of(part: str, samples: Sequence[ProcessSample]) -> list[ProcessSample]:
    return [sample for sample in samples if sample.part == part]


def _most(part: str, soaked: SoakResult) -> ClaimRow:
    most = max(sample.rss_mb for quarter in soaked.quarters for sample in _of(part, quarter))
    return ClaimRow(
        f"memory of {part} at most (its RSS; shared fairly, with all that it started)",
        f"<= {_MOST_MB[part]:.0f} MB",
        f"{most:.0f} MB ({soaked.shares_mb[part]} MB)",
        most <= _MOST_MB[part],
    )


def _flat(part: str, soaked: SoakResult) -> ClaimRow:
    first, last = _of(part, soaked.quarters[0]), _of(part, soaked.quarters[-1])
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
        bool(lasting)
        and mb[1] <= mb[0] * (1 + _GROWTH_SHARE) + _GROWTH_MB
        and descriptors[1] <= descriptors[0] + _GROWTH_NUMBER
        and threads[1] <= threads[0] + _GROWTH_NUMBER,
    )


def main() -> int:
    """Run the campaign."""
    parser = argparse.ArgumentParser(prog="proof.load.soak")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("requests", type=int, nargs="?", default=20_000)
    arguments = parser.parse_args()
    with running_stack(arguments.bundle) as stack:
        soaked = asyncio.run(run_soak(stack, arguments.requests))
    return print_claims(f"{arguments.requests} requests", build_claim_rows(soaked))


if __name__ == "__main__":
    sys.exit(main())
