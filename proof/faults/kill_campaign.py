"""Kill random processes while callers send requests, and compare the answers with the journal."""

import asyncio
import os
import random
import signal
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from pleura.local.state_folder import ProcessId
from proof.lab.journal import CampaignJournal, read_complete_journal
from proof.lab.known_radiographs import KnownRadiographs
from proof.lab.load import Caller, CallResult, RetryingCaller, call_until
from proof.lab.processes import ProcessSample, ProcessWatcher, find_processes, sample_processes
from proof.lab.running_stack import RunningStack, find_descendants

_FRESH_PER_KILL: Final = 30
_FRESH_PER_S, _KNOWN_PER_S = 2.0, 10.0
_POLL_S: Final = 0.05
CALL_LIMIT_S: Final = 15.5
"""Seconds after which a caller takes a call for lost. The service's own deadline is 15 seconds."""
MAX_RECOVERY_S: Final = 60.0
_QUIET_S: Final = 4.0


@dataclass(frozen=True)
class Kill:
    """One killed process, and the time until the stack had recovered."""

    part: str
    seconds: float


Send = Callable[[str], Awaitable[CallResult]]
Choose = Callable[[Sequence[str]], str]


class Killer:
    """Kills one process after the other, and waits for the recovery of the stack each time."""

    def __init__(
        self, stack: RunningStack, send: Send, next_fresh_id: Callable[[], str], choose: Choose, seed: int
    ) -> None:
        self._stack, self._send, self._choose = stack, send, choose
        self._next_fresh_id = next_fresh_id
        self._random = random.Random(seed)
        self.processes: set[ProcessId] = set()

    async def kill_one(self) -> Kill:
        """Kill a process of a part, and wait until the part runs again and requests are answered.

        Raises:
            TimeoutError: The stack does not recover in time.
        """
        processes = await asyncio.to_thread(find_processes, self._stack)
        self.processes |= set(processes)
        processes_by_part: dict[str, list[ProcessId]] = defaultdict(list)
        for process, part in processes.items():
            if part != "up" and process.is_alive:  # PostgreSQL has workers that end by themselves
                processes_by_part[part].append(process)
        part = self._choose(sorted(processes_by_part))
        process = self._random.choice(processes_by_part[part])
        began_s = time.monotonic()
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        async with asyncio.timeout(MAX_RECOVERY_S):
            await self._wait_for_recovery(part, process)
        return Kill(part, time.monotonic() - began_s)

    async def _wait_for_recovery(self, part: str, killed: ProcessId) -> None:
        name = self._next_fresh_id()
        while True:
            if self._is_running(part.partition("/")[0], killed):
                answer = await self._send(name)
                if answer.is_ok and not answer.document["cached"]:
                    return
                if answer.is_ok:  # an earlier try has filled the cache, though its answer was lost
                    name = self._next_fresh_id()
            await asyncio.sleep(_POLL_S)

    def _is_running(self, part: str, killed: ProcessId) -> bool:
        record = self._stack.state.read()
        current = record and record.parts.get(part)
        return bool(current and current.process != killed and current.process.is_alive)


@dataclass(frozen=True)
class KillCampaign:
    """The results of a campaign."""

    planned_kills: int
    kills: Sequence[Kill]
    caller: RetryingCaller
    wrong: int
    journal: CampaignJournal
    orphans: int
    processes: frozenset[ProcessId]
    samples: Sequence[ProcessSample]


async def run_kills(stack: RunningStack, kills: int, choose: Choose, seed: int = 1) -> KillCampaign:
    """Kill processes while callers send requests, then compare the answers with the journal."""
    radiographs = await asyncio.to_thread(KnownRadiographs, stack.record.store)
    await asyncio.to_thread(radiographs.upload, _FRESH_PER_KILL * kills)
    caller = RetryingCaller(Caller(stack.record.address, stack.make_token(), timeout_s=CALL_LIMIT_S))
    await radiographs.learn_answers(caller.send_once)
    killer = Killer(stack, caller.send_once, radiographs.next_fresh_id, choose, seed)
    watcher, stop = ProcessWatcher(stack), asyncio.Event()
    load = asyncio.gather(
        call_until(stop, lambda: caller.send_until_answered(radiographs.next_fresh_id()), _FRESH_PER_S),
        call_until(stop, lambda: caller.send_until_answered(radiographs.next_known_id()), _KNOWN_PER_S),
        watcher.run(stop),
    )
    done = []
    with suppress(TimeoutError):  # no recovery; the report says after how many kills
        for _ in range(kills):
            done.append(await killer.kill_one())
    stop.set()
    await load
    await caller.caller.close()
    journal = await read_complete_journal(stack, caller.answers)
    await asyncio.sleep(_QUIET_S)
    watcher.samples += await asyncio.to_thread(lambda: list(sample_processes(stack)))
    processes = frozenset(killer.processes | {sample.process for sample in watcher.samples})
    stack_processes = set(find_descendants(stack.process.pid))
    orphans = sum(process.is_alive and process not in stack_processes for process in processes)
    wrong = len(radiographs.find_wrong(caller.answers))
    return KillCampaign(
        kills, done, caller, wrong, journal, orphans, processes | stack_processes, watcher.samples
    )
