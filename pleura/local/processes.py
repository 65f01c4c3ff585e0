"""Start a server process, wait until it answers, stop it; it never outlives this process."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pleura.local import die_with_parent

HOST: Final = "127.0.0.1"
START_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.05
_PORTS: Final = range(15_000, 32_000)
_given: Final[set[int]] = set()
_SPAWNER: Final = ThreadPoolExecutor(1, "spawner")
"""Starts every process: the kernel ends a child with the thread that started it, so that thread must stay."""


class StartFailed(Exception):
    """A part did not start; the message is one line that names the part and its log."""


@dataclass(frozen=True)
class Server:
    """A running server process."""

    name: str
    url: str
    log: Path
    process: subprocess.Popen[bytes]
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 30.0
    """Seconds that this server needs at most to stop in order; more are of no use."""
    leftovers: Sequence[Path] = ()
    """Files that it leaves outside its folder."""

    def stop(self, timeout_s: float = 10.0) -> None:
        """Ask the process to end, and kill it and what it started if it does not in time."""
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(min(timeout_s, self.grace_s))
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for path in self.leftovers:
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Command:
    """What to run for a part."""

    name: str
    arguments: Sequence[str]
    log: Path
    environment: Mapping[str, str] | None = None
    death_signal: signal.Signals = signal.SIGKILL
    as_nobody: bool = False
    folder: Path | None = None
    """Working folder; that of this process where none is given."""


def free_port() -> int:
    """A port on this machine that nothing listens on, and that was not given out before.

    It is none of those that the kernel gives to outgoing connections: between its choice and its use it
    would be taken now and then.
    """
    while True:
        port = secrets.choice(_PORTS)
        if port not in _given and is_free(port):
            _given.add(port)
            return port


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
        return True


def require_free(name: str, port: int) -> None:
    """Refuse to start a part on a port that another program has.

    Raises:
        StartFailed: It has.
    """
    if not is_free(port):
        raise StartFailed(f"{name}: port {port} is taken by another program")


def wrap_command(command: Command) -> list[str]:
    """The command line that runs a command under the guard."""
    return [
        sys.executable,
        "-I",
        "-S",
        str(Path(die_with_parent.__file__)),
        str(os.getpid()),
        str(int(command.death_signal)),
        str(int(command.as_nobody)),
        *command.arguments,
    ]


def launch(command: Command) -> subprocess.Popen[bytes]:
    """Start a command in a process group of its own, its output appended to its log."""

    def start() -> subprocess.Popen[bytes]:
        with command.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603
                wrap_command(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if command.environment is None else {**os.environ, **command.environment},
                start_new_session=True,
                cwd=command.folder,
            )

    try:
        command.log.parent.mkdir(parents=True, exist_ok=True)
        return _SPAWNER.submit(start).result()
    except OSError as error:
        raise StartFailed(f"{command.name}: {error.strerror}: {error.filename}") from error


def read_last_line(log: Path) -> str:
    """The last line of a log that is not empty."""
    try:
        lines = log.read_text(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def wait_until(server: Server, answers: Callable[[], bool], timeout_s: float = START_TIMEOUT_S) -> Server:
    """Wait until a server answers a question.

    Args:
        server: The process that was just started.
        answers: Asks the question; any exception means "not yet".
        timeout_s: Seconds until it counts as failed, and is stopped.

    Returns:
        The server.

    Raises:
        StartFailed: It ended, or did not answer in time.
    """
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if server.process.poll() is not None:
            said = read_last_line(server.log)
            raise StartFailed(f"{server.name} ended at its start: {said} (log: {server.log})")
        with contextlib.suppress(Exception):  # a client's failures while its server starts cannot be listed
            if answers():
                return server
        time.sleep(_POLL_S)
    server.stop()
    raise StartFailed(f"{server.name} did not answer within {timeout_s:.0f} s (log: {server.log})")
