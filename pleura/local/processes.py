"""Start a server process, wait until it answers, and stop it. It never outlives this process."""

import contextlib
import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from pleura.environment import set_variables
from pleura.local import die_with_parent
from pleura.local.clean_environment import inherit_basics

HOST: Final = "127.0.0.1"
START_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.05
_PORTS: Final = range(15_000, 32_000)
_chosen_ports: Final[set[int]] = set()
_SPAWNER: Final = ThreadPoolExecutor(1, "spawner")
"""Starts every process. The kernel ends a child with the thread that started it, so this thread must stay."""


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
    """Seconds that this server needs to stop in order, at most."""
    leftovers: Sequence[Path] = ()
    """Files that the server leaves outside its folder."""

    def stop(self, timeout_s: float = 10.0) -> None:
        """Ask the process to end; then kill its group, with all its children."""
        if self.process.poll() is None:
            self.process.send_signal(self.stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(min(timeout_s, self.grace_s))
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # its children may outlive the process
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for path in self.leftovers:
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Command:
    """The command line of a part, and how to run it."""

    name: str
    arguments: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    """Its variables, besides the few that every program inherits."""
    death_signal: signal.Signals = signal.SIGKILL
    as_nobody: bool = False
    folder: Path | None = None
    """Working folder; None for the folder of this process."""


def free_port() -> int:
    """Choose a port of this machine that is free and was not chosen before.

    The range lies below the ports of outgoing connections: the kernel could give such a port to a connection
    before the server listens on it.
    """
    while True:
        port = secrets.choice(_PORTS)
        if port not in _chosen_ports and claim_port(port):
            return port


def claim_port(port: int) -> bool:
    """Claim a port for the servers that this process will start; say whether it is free.

    Seconds may go by before a server listens on it. Until this process ends, no other process of this user
    gets the port from :func:`free_port`.

    Raises:
        StartFailed: The file of the claims cannot be opened.
    """
    claims = _open_claims()
    if not is_free(port):
        return False
    try:
        fcntl.lockf(claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    _chosen_ports.add(port)
    return True


@cache
def _open_claims() -> int:
    """Open the file whose byte N is locked by the process that claims port N; it stays empty, and open."""
    path = Path(tempfile.gettempdir()) / f"pleura-ports-{os.getuid()}"
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartFailed(
            f"{path} cannot be opened: {error.strerror}; it keeps which ports are taken"
        ) from error


def is_free(port: int) -> bool:
    """Say whether a server can listen on the port now."""
    with socket.socket() as listener:
        # as servers do: connections of a server that has ended may still hold the port for a minute
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
        return True


def require_free(name: str, port: int) -> None:
    """Require that a part can listen on its port.

    Raises:
        StartFailed: Another program uses the port.
    """
    if not is_free(port):
        raise StartFailed(f"{name}: port {port} is taken by another program")


def wrap_command(command: Command) -> list[str]:
    """Return the command line that ends the command together with this process."""
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
    """Start a command in a process group of its own, and append its output to its log."""
    environment = inherit_basics()
    set_variables(environment, command.environment)

    def start() -> subprocess.Popen[bytes]:
        with command.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603
                wrap_command(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                # Ctrl-C in the terminal must reach the supervisor only, which stops the parts in order
                start_new_session=True,
                cwd=command.folder,
            )

    try:
        command.log.parent.mkdir(parents=True, exist_ok=True)
        return _SPAWNER.submit(start).result()
    except OSError as error:
        raise StartFailed(f"{command.name}: {error.strerror}: {error.filename}") from error


def read_last_line(log: Path) -> str:
    """Read the last line of a log that is not empty."""
    try:
        lines = log.read_text(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def wait_until(server: Server, probe: Callable[[], bool], timeout_s: float = START_TIMEOUT_S) -> Server:
    """Wait until a server answers.

    Args:
        server: The process that was just started.
        probe: Says whether the server answers; any exception means "not yet".
        timeout_s: Seconds until the start counts as failed, and the server is stopped.

    Returns:
        The server.

    Raises:
        StartFailed: The server ended, or did not answer in time.
    """
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if server.process.poll() is not None:
            reason = read_last_line(server.log)
            raise StartFailed(f"{server.name} ended at its start: {reason} (log: {server.log})")
        with contextlib.suppress(Exception):  # a client's failures while its server starts cannot be listed
            if probe():
                return server
        time.sleep(_POLL_S)
    server.stop()
    raise StartFailed(f"{server.name} did not answer within {timeout_s:.0f} s (log: {server.log})")
