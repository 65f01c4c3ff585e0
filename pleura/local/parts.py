"""Start parts that need each other, watch them, restart them, and stop them in order."""

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
    """A stop was requested while the parts started."""


class PartDied(Exception):
    """A part died too often; the message is one line that names the part and its log."""


class _PartNotStarted(StartFailed):
    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name


@dataclass(frozen=True)
class Part:
    """A process of the stack, or a step between processes.

    ``start`` returns once the part answers. It returns None where no process keeps running.
    """

    name: str
    start: Callable[[], Server | None]
    needs: Sequence[str] = ()


@dataclass(frozen=True)
class _StartResult:
    part: Part
    outcome: Server | BaseException | None
    seconds: float


class PartSupervisor:
    """Runs parts together.

    Args:
        parts: In an order in which they could start one by one; they stop in the reverse order.
        report: Receives each line of progress.
        on_change: Receives the running servers when a part has started or ended.
        restarts: Restarts of a part within a minute, at most.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        report: Callable[[str], None],
        on_change: Callable[[Mapping[str, Server]], None] = lambda _: None,
        restarts: int = RESTARTS,
    ) -> None:
        self._parts, self._report, self._on_change, self._restarts = parts, report, on_change, restarts
        self._stopping = threading.Event()
        self._results: queue.Queue[_StartResult] = queue.Queue()
        self._starting: dict[str, threading.Thread] = {}
        self._to_restart: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._done: set[str] = set()
        self._deaths: dict[str, deque[float]] = {part.name: deque() for part in parts}
        self.servers: dict[str, Server] = {}

    def request_stop(self) -> None:
        """Make ``start`` and ``watch`` return; a signal handler may call this."""
        self._stopping.set()

    def request_restart(self, name: str) -> None:
        """Have ``watch`` stop and start a part, which does not count as a death; any thread may call this."""
        self._to_restart.put(name)

    def start(self) -> None:
        """Start all parts, each as soon as the parts that it needs answer.

        Raises:
            StartFailed: A part did not start.
            Interrupted: ``request_stop`` was called.
        """
        while len(self._done) < len(self._parts):
            for part in self._parts:
                if part.name not in self._starting and self._done.issuperset(part.needs):
                    self._start(part)
            self._take_result()

    def watch(self) -> None:
        """Restart parts that die, until ``request_stop`` is called.

        Raises:
            PartDied: A part died, or could not be restarted, too often within a minute.
        """
        while not self._stopping.is_set():
            self._restart_requested()
            for name, server in list(self.servers.items()):
                if server.process.poll() is not None:
                    self._restart_dead(name, server)
            try:
                self._take_result()
            except _PartNotStarted as error:  # remains of its predecessor may block it for a moment
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

    def _restart_requested(self) -> None:
        with contextlib.suppress(queue.Empty):
            name = self._to_restart.get_nowait()
            server = self.servers.pop(name, None)
            if server:  # otherwise the part starts at this moment
                self._start(next(part for part in self._parts if part.name == name), server)

    def _start(self, part: Part, predecessor: Server | None = None) -> None:
        def run() -> None:
            began = time.monotonic()
            outcome: Server | BaseException | None
            try:
                if predecessor:
                    predecessor.stop()
                outcome = part.start()
            # _take_result raises it: without a result, the start would wait for ever
            except BaseException as error:
                outcome = error
            # stop() does not know a server that becomes ready after it
            if isinstance(outcome, Server) and self._stopping.is_set():
                outcome.stop()
            self._results.put(_StartResult(part, outcome, time.monotonic() - began))

        thread = threading.Thread(target=run, name=f"start {part.name}", daemon=True)
        self._starting[part.name] = thread
        thread.start()

    def _take_result(self) -> None:
        """Wait a moment for the result of a start."""
        if self._stopping.is_set():
            raise Interrupted
        try:
            result = self._results.get(timeout=_POLL_S)
        except queue.Empty:
            return
        part, outcome = result.part, result.outcome
        if isinstance(outcome, BaseException):
            reason = str(outcome) if isinstance(outcome, StartFailed) else f"{part.name}: {outcome}"
            raise _PartNotStarted(part.name, reason) from outcome
        self._done.add(part.name)
        address = ""
        if outcome:
            self.servers[part.name] = outcome
            address = outcome.url.rpartition("@")[2].removeprefix("redis://")
            self._on_change(self.servers)
        self._report(f"  {part.name:<12} {result.seconds:6.1f} s   {address}".rstrip())

    def _restart_dead(self, name: str, server: Server) -> None:
        """Stop the remains of a dead part, and start it again."""
        del self.servers[name]
        with contextlib.suppress(ProcessLookupError):
            server.stop()
        self._on_change(self.servers)
        self._start_again(name, f"{name} died (exit code {server.process.returncode}; log: {server.log})")

    def _start_again(self, name: str, reason: str) -> None:
        now, deaths = time.monotonic(), self._deaths[name]
        deaths.append(now)
        while deaths[0] < now - RESTART_WINDOW_S:
            deaths.popleft()
        if len(deaths) > self._restarts:
            raise PartDied(f"{reason} {len(deaths)} times within a minute")
        self._report(f"{reason}; starting it again, {len(deaths)} of {self._restarts}")
        self._start(next(part for part in self._parts if part.name == name))
