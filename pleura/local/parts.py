"""Parts that need each other: started as early as may be, watched, restarted, stopped in order."""

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pleura.local.processes import Server, StartFailed

RESTARTS: Final = 3
RESTART_WINDOW_S: Final = 60.0
_POLL_S: Final = 0.1


class Interrupted(Exception):
    """The stack was told to stop while it started."""


class PartDied(Exception):
    """A part ended again and again; the message is one line that names it and its log."""


class _NotStarted(StartFailed):
    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name


@dataclass(frozen=True)
class Part:
    """A process of the stack, or a step between processes.

    ``start`` returns when the part answers, and returns None where nothing keeps running.
    """

    name: str
    start: Callable[[], Server | None]
    needs: Sequence[str] = ()


@dataclass(frozen=True)
class _Started:
    part: Part
    outcome: Server | BaseException | None
    seconds: float


class PartSupervisor:
    """Parts kept running together.

    Args:
        parts: In an order in which they could be started one by one; they are stopped the other way round.
        report: Takes each line of progress.
        changed: Called when a part was started or has ended, with what runs now.
        restarts: How often a part is started again within a minute.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        report: Callable[[str], None],
        changed: Callable[[Mapping[str, Server]], None] = lambda _: None,
        restarts: int = RESTARTS,
    ) -> None:
        self._parts, self._report, self._changed, self._restarts = parts, report, changed, restarts
        self._stopping = threading.Event()
        self._started: queue.Queue[_Started] = queue.Queue()
        self._starting: dict[str, threading.Thread] = {}
        self._to_replace: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._done: set[str] = set()
        self._deaths: dict[str, deque[float]] = {part.name: deque() for part in parts}
        self.servers: dict[str, Server] = {}

    def ask_to_stop(self) -> None:
        """Make ``start`` and ``watch`` come to an end; may be called by a signal handler."""
        self._stopping.set()

    def ask_to_replace(self, name: str) -> None:
        """Have ``watch`` stop a part in order and start it anew, which is no death; any thread may ask."""
        self._to_replace.put(name)

    def start(self) -> None:
        """Start all parts, each as soon as what it needs answers.

        Raises:
            StartFailed: One of them did not start.
            Interrupted: ``ask_to_stop`` was called.
        """
        while len(self._done) < len(self._parts):
            for part in self._parts:
                if part.name not in self._starting and self._done.issuperset(part.needs):
                    self._start(part)
            self._take_outcome()

    def watch(self) -> None:
        """Restart what dies, until ``ask_to_stop`` is called.

        Raises:
            PartDied: A part died, or could not be restarted, too often within a minute.
        """
        while not self._stopping.is_set():
            self._replace()
            for name, server in list(self.servers.items()):
                if server.process.poll() is not None:
                    self._bury(name, server)
            try:
                self._take_outcome()
            except _NotStarted as error:  # what its predecessor left may be in its way for a moment
                self._start_again(error.name, str(error))
            except Interrupted:
                return

    def stop(self) -> None:
        """Stop all parts, the last one first."""
        self._stopping.set()
        for part in reversed(self._parts):
            server = self.servers.pop(part.name, None)
            if server:
                server.stop()
        for thread in self._starting.values():
            thread.join(timeout=10.0)

    def _replace(self) -> None:
        with contextlib.suppress(queue.Empty):
            name = self._to_replace.get_nowait()
            server = self.servers.pop(name, None)
            if server:  # otherwise it is being started already
                self._start(next(part for part in self._parts if part.name == name), server)

    def _start(self, part: Part, predecessor: Server | None = None) -> None:
        def run() -> None:
            began = time.monotonic()
            outcome: Server | BaseException | None
            try:
                if predecessor:
                    predecessor.stop()
                outcome = part.start()
            except BaseException as error:
                outcome = error
            if isinstance(outcome, Server) and self._stopping.is_set():
                outcome.stop()
            self._started.put(_Started(part, outcome, time.monotonic() - began))

        thread = threading.Thread(target=run, name=f"start {part.name}", daemon=True)
        self._starting[part.name] = thread
        thread.start()

    def _take_outcome(self) -> None:
        """Wait a moment for a part that has started."""
        if self._stopping.is_set():
            raise Interrupted
        try:
            started = self._started.get(timeout=_POLL_S)
        except queue.Empty:
            return
        part, outcome = started.part, started.outcome
        if isinstance(outcome, BaseException):
            reason = str(outcome) if isinstance(outcome, StartFailed) else f"{part.name}: {outcome}"
            raise _NotStarted(part.name, reason) from outcome
        self._done.add(part.name)
        where = ""
        if outcome:
            self.servers[part.name] = outcome
            where = outcome.url.rpartition("@")[2].removeprefix("redis://")
            self._changed(self.servers)
        self._report(f"  {part.name:<12} {started.seconds:6.1f} s   {where}".rstrip())

    def _bury(self, name: str, server: Server) -> None:
        """Count a death, and start the part again if that makes sense."""
        del self.servers[name]
        with contextlib.suppress(ProcessLookupError):
            server.stop()
        self._changed(self.servers)
        self._start_again(name, f"{name} died (exit code {server.process.returncode}; log: {server.log})")

    def _start_again(self, name: str, how: str) -> None:
        now, deaths = time.monotonic(), self._deaths[name]
        deaths.append(now)
        while deaths[0] < now - RESTART_WINDOW_S:
            deaths.popleft()
        if len(deaths) > self._restarts:
            raise PartDied(f"{how} {len(deaths)} times within a minute")
        self._report(f"{how}; starting it again, {len(deaths)} of {self._restarts}")
        self._start(next(part for part in self._parts if part.name == name))
