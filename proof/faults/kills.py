"""kill -9 of random processes under load: ``python -m proof.faults.kills BUNDLE [KILLS] [SEED]``.

The next process is killed as soon as the stack has recovered from the last: the dead part runs again, and a
radiograph that no cache knows is answered. Callers who get no answer ask again under the same request id, as
clients do; whoever was answered must have exactly one row in the journal, which says the same.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pleura.local.state_folder import ProcessId
from proof.lab.journal import CampaignJournal, read_complete_journal
from proof.lab.known_radiographs import KnownRadiographs
from proof.lab.load import BROKEN, LATE, Caller, CallResult, RetryingCaller, call_until, compute_quantile_ms
from proof.lab.processes import ProcessSample, ProcessWatcher, find_processes, sample_processes
from proof.lab.report import ClaimRow, print_claims
from proof.lab.running_stack import RunningStack, find_descendants, find_survivors
from proof.lab.stack import running_stack

_FRESH_PER_KILL: Final = 30
_FRESH_PER_S, _KNOWN_PER_S = 2.0, 10.0
_POLL_S: Final = 0.05
_DEADLINE_S: Final = 15.0
_LATE_S: Final = 0.5
_LONGEST_RECOVERY_S: Final = 60.0
_ALLOWED: Final = frozenset({200, 502, 503, BROKEN})
_LIVED_S: Final = 30.0
_QUIET_S: Final = 4.0
_TRIES: Final = (1, 2, 5, 10, 15, 20)
_MOST_DESCRIPTORS_MORE, _MOST_MB_MORE = 60, 40.0


@dataclass(frozen=True)
class Kill:
    """One process that was killed, and how long it took until all was well again."""

    part: str
    seconds: float


Ask = Callable[[str], Awaitable[CallResult]]
Choose = Callable[[Sequence[str]], str]


class Killer:
    """Kills one process after the other, and waits for the stack each time."""

    def __init__(
        self, stack: RunningStack, ask: Ask, fresh: Callable[[], str], choose: Choose, seed: int
    ) -> None:
        self._stack, self._ask, self._fresh, self._choose = stack, ask, fresh, choose
        self._random = random.Random(seed)
        self.ever: set[ProcessId] = set()

    async def kill_one(self) -> Kill:
        """Kill a process of a part, and wait until it runs again and questions are answered.

        Raises:
            TimeoutError: It does not come back.
        """
        processes = await asyncio.to_thread(find_processes, self._stack)
        self.ever |= set(processes)
        kinds: dict[str, list[ProcessId]] = defaultdict(list)
        for process, part in processes.items():
            if part != "up" and process.is_alive:  # PostgreSQL has workers that end by themselves
                kinds[part].append(process)
        part = self._choose(sorted(kinds))
        process = self._random.choice(kinds[part])
        began_s = time.monotonic()
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        async with asyncio.timeout(_LONGEST_RECOVERY_S):
            await self._recovered(part, process)
        return Kill(part, time.monotonic() - began_s)

    async def _recovered(self, part: str, killed: ProcessId) -> None:
        name = self._fresh()
        while True:
            if self._runs(part.partition("/")[0], killed):
                answer = await self._ask(name)
                if answer.is_ok and not answer.document["cached"]:
                    return
                if answer.is_ok:  # an earlier try was answered, and nobody was there to hear it
                    name = self._fresh()
            await asyncio.sleep(_POLL_S)

    def _runs(self, part: str, killed: ProcessId) -> bool:
        recorded = self._stack.state.read()
        now = recorded and recorded.parts.get(part)
        return bool(now and now.process != killed and now.process.is_alive)


@dataclass(frozen=True)
class KillCampaign:
    """All that was seen."""

    asked_for: int
    kills: Sequence[Kill]
    insistent: RetryingCaller
    wrong: int
    journaled: CampaignJournal
    orphans: int
    ever: frozenset[ProcessId]
    seen: Sequence[ProcessSample]


async def run_kills(stack: RunningStack, kills: int, choose: Choose, seed: int = 1) -> KillCampaign:
    """Kill so many processes while callers ask, and look into the journal at the end."""
    questions = await asyncio.to_thread(KnownRadiographs, stack.record.store)
    await asyncio.to_thread(questions.upload, _FRESH_PER_KILL * kills)
    insistent = RetryingCaller(
        Caller(stack.record.address, stack.make_token(), timeout_s=_DEADLINE_S + _LATE_S)
    )
    await questions.learn_answers(insistent.ask_once)
    killer = Killer(stack, insistent.ask_once, questions.next_fresh_id, choose, seed)
    watcher, stop = ProcessWatcher(stack), asyncio.Event()
    running_on = asyncio.gather(
        call_until(stop, lambda: insistent.ask(questions.next_fresh_id()), _FRESH_PER_S),
        call_until(stop, lambda: insistent.ask(questions.next_known_id()), _KNOWN_PER_S),
        watcher.run(stop),
    )
    done = []
    with suppress(TimeoutError):  # it did not come back: the table says after how many
        for _ in range(kills):
            done.append(await killer.kill_one())
    stop.set()
    await running_on
    await insistent.caller.close()
    journaled = await read_complete_journal(stack, insistent.answers)
    await asyncio.sleep(_QUIET_S)
    watcher.samples += await asyncio.to_thread(lambda: list(sample_processes(stack)))
    ever = frozenset(killer.ever | {sample.process for sample in watcher.samples})
    family = set(find_descendants(stack.process.pid))
    orphans = sum(process.is_alive and process not in family for process in ever)
    wrong = len(questions.find_wrong(insistent.answers))
    return KillCampaign(kills, done, insistent, wrong, journaled, orphans, ever | family, watcher.samples)


def build_loss_rows(seen: KillCampaign) -> list[ClaimRow]:
    """What holds however busy the machine is."""
    answers, journaled = seen.insistent.answers, seen.journaled
    answered = sum(answer.is_ok for answer in answers)
    fresh = sum(answer.is_ok and not answer.document["cached"] for answer in answers)
    lost, differing = journaled.count_lost(answers), journaled.count_differing(answers)
    return [
        ClaimRow(
            "kills after which all came back", f"{seen.asked_for}", *_full(len(seen.kills), seen.asked_for)
        ),
        ClaimRow("answered requests without a row in the journal", "0", f"{lost} of {answered}", not lost),
        ClaimRow("rows too many", "0", f"{journaled.duplicates}", not journaled.duplicates),
        ClaimRow("rows that say something else than the answer", "0", f"{differing}", not differing),
        ClaimRow(
            "answers about another radiograph", "0", f"{seen.wrong} ({fresh} not cached)", not seen.wrong
        ),
        ClaimRow("processes without a parent at the end", "0", f"{seen.orphans}", not seen.orphans),
    ]


def build_claim_rows(seen: KillCampaign, left: int) -> list[ClaimRow]:
    """What is claimed, and what was measured."""
    answers = seen.insistent.answers
    counts = Counter(answer.status for answer in answers)
    others = sum(n for status, n in counts.items() if status not in _ALLOWED)
    longest_s = max(answer.seconds for answer in answers)
    answered_ms = compute_quantile_ms([answer for answer in answers if answer.is_ok], 0.5)
    return [
        *build_loss_rows(seen),
        ClaimRow(
            "calls that ended otherwise than 200, 502, 503, broken",
            "0",
            f"{others} of {dict(counts)}",
            not others,
        ),
        *build_retry_rows(seen.insistent),
        ClaimRow(
            "longest call",
            f"<= {_DEADLINE_S + _LATE_S:.1f} s",
            f"{longest_s:.2f} s (p50 of answers {answered_ms:.0f} ms)",
            longest_s <= _DEADLINE_S + _LATE_S,
        ),
        ClaimRow("processes left after the end", "0", f"{left}", not left),
        *_recoveries(seen.kills),
        *_growth(seen.seen),
    ]


def build_retry_rows(insistent: RetryingCaller) -> list[ClaimRow]:
    """Who was never answered, what they were told instead, and how often each had to ask."""
    told = "; ".join(_story(tries) for tries in insistent.given_up)
    measured = f"{len(insistent.given_up)} of {len(insistent.tries)}" + (f" ({told})" if told else "")
    longer = [sum(len(tries) > number for tries in insistent.tries) for number in _TRIES]
    return [
        ClaimRow("callers who were never answered", "0", measured, not insistent.given_up),
        ClaimRow(f"callers who asked more than {_listed(_TRIES)} times", "", _listed(longer), None),
    ]


def _story(tries: Sequence[CallResult]) -> str:
    """What a caller asked about, and what came of each try."""
    ends = Counter(_end_of(each) for each in tries)
    seconds = tries[-1].sent_s - tries[0].sent_s
    counts = ", ".join(f"{number} x {end}" for end, number in ends.most_common())
    return f"{tries[0].image_id}, {len(tries)} tries in {seconds:.0f} s: {counts}"


def _end_of(answer: CallResult) -> str:
    reason = answer.document.get("error") if isinstance(answer.document, dict) else None
    status = {BROKEN: "broken", LATE: "late"}.get(answer.status, f"{answer.status}")
    return f"{status} ({reason})" if reason else status


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(f"{number}" for number in numbers)


def _full(number: int, of: int) -> tuple[str, bool]:
    return f"{number}", number == of


def _recoveries(kills: Sequence[Kill]) -> list[ClaimRow]:
    by_part: dict[str, list[float]] = defaultdict(list)
    for kill in kills:
        by_part[kill.part].append(kill.seconds)
    return [
        ClaimRow(
            f"recovery after {part} ({len(times)} kills): p50, longest",
            f"<= {_LONGEST_RECOVERY_S:.0f} s",
            f"{sorted(times)[len(times) // 2]:.1f}, {max(times):.1f} s",
            max(times) <= _LONGEST_RECOVERY_S,
        )
        for part, times in sorted(by_part.items())
    ]


def _growth(seen: Sequence[ProcessSample]) -> list[ClaimRow]:
    """How much those that lived for a while grew after their first half minute."""
    lives: dict[tuple[str, ProcessId], list[ProcessSample]] = defaultdict(list)
    for sample in seen:
        lives[sample.part, sample.process].append(sample)
    last_s = max(sample.at_s for sample in seen)
    descriptors: dict[str, int] = defaultdict(int)
    megabytes: dict[str, float] = defaultdict(float)
    for (part, _), life in lives.items():
        late = [sample for sample in life if sample.at_s - life[0].at_s >= _LIVED_S]
        if late:
            megabytes[part] = max(megabytes[part], late[-1].rss_mb - late[0].rss_mb)
        if last_s - life[-1].at_s < 1.0:  # it lives still, and nobody asks any more
            descriptors[part] = max(descriptors[part], life[-1].descriptors - life[0].descriptors)
    return [
        ClaimRow(
            f"most that a {part} grew, descriptors (when quiet) and memory",
            f"<= {_MOST_DESCRIPTORS_MORE}, {_MOST_MB_MORE:.0f} MB",
            f"{descriptors[part]}, {megabytes[part]:.1f} MB",
            descriptors[part] <= _MOST_DESCRIPTORS_MORE and megabytes[part] <= _MOST_MB_MORE,
        )
        for part in sorted(megabytes)
    ]


def main() -> int:
    """Run the campaign."""
    parser = argparse.ArgumentParser(prog="proof.faults.kills")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("kills", type=int, nargs="?", default=200)
    parser.add_argument("seed", type=int, nargs="?", default=1)
    arguments = parser.parse_args()
    with running_stack(arguments.bundle, "--restarts", "1000") as stack:
        choose = random.Random(arguments.seed).choice
        seen = asyncio.run(run_kills(stack, arguments.kills, choose, arguments.seed))
    left = len(find_survivors(list(seen.ever)))
    return print_claims(
        f"{arguments.kills} kills under load, seed {arguments.seed}", build_claim_rows(seen, left)
    )


if __name__ == "__main__":
    sys.exit(main())
