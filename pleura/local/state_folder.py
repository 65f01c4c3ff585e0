"""The folder in which a local stack records its processes, its ports, its keys and its lock."""

import contextlib
import fcntl
import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from pleura.local.private_files import (
    NotPrivate,
    close_content,
    close_folder,
    write_private,
)
from pleura.local.processes import StartFailed, claim_port, free_port

_KEYS: Final = "keys.json"


class AlreadyRunning(Exception):
    """Another ``pleura up`` has locked this state folder."""


@dataclass(frozen=True)
class ProcessId:
    """A process. Its start time distinguishes it from a later process with the same number."""

    pid: int
    started: str

    @classmethod
    def read(cls, pid: int) -> "ProcessId":
        """Read which process has this number now; ``started`` is empty where none has it."""
        return cls(pid, _read_start_time(pid))

    @classmethod
    def current(cls) -> "ProcessId":
        """Return this process."""
        return cls.read(os.getpid())

    @property
    def is_alive(self) -> bool:
        """Whether this process still runs."""
        return bool(self.started) and _read_start_time(self.pid) == self.started

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the process and its children, if it is still the same process."""
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)


def _read_start_time(pid: int) -> str:
    """Read when a process started; empty where it does not exist or has ended."""
    stat = Path("/proc") / str(pid) / "stat"
    if Path("/proc/self/stat").exists():
        try:
            # a program's name in brackets may itself hold spaces and brackets (proc(5), stat)
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] in "ZX" else fields[19]  # state and start time; a zombie has ended
    command = ["/bin/ps", "-o", "lstart=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603


@dataclass(frozen=True)
class PartState:
    """One process of the stack."""

    process: ProcessId
    url: str
    log: str


@dataclass(frozen=True)
class StackRecord:
    """The content of ``state.json``."""

    phase: str  # starting | ready
    supervisor: ProcessId
    address: str
    grpc_address: str
    issuer: str
    store: Mapping[str, str]
    parts: Mapping[str, PartState] = field(default_factory=dict)
    metrics: Mapping[str, str] = field(default_factory=dict)  # for each service, the URL for Prometheus

    @property
    def is_running(self) -> bool:
        """Whether the process that runs this stack is alive."""
        return self.supervisor.is_alive

    @property
    def survivors(self) -> Sequence[ProcessId]:
        """The processes of the stack that are alive."""
        return [part.process for part in self.parts.values() if part.process.is_alive]


def _parse_record(document: dict[str, object]) -> StackRecord:
    parts = document.pop("parts")
    supervisor = document.pop("supervisor")
    assert isinstance(parts, dict)
    assert isinstance(supervisor, dict)
    return StackRecord(
        **document,  # type: ignore[arg-type]  # a wrong key is a TypeError, which the caller expects
        supervisor=ProcessId(**supervisor),
        parts={
            name: PartState(ProcessId(**part["process"]), part["url"], part["log"])
            for name, part in parts.items()
        },
    )


@dataclass(frozen=True)
class StateFolder:
    """The folder of one stack."""

    path: Path

    def make(self) -> None:
        """Make the folder, close it to other users, and require that it can be written.

        What an earlier stack left in it is closed as well: version 0.1 made files that all could read.

        Raises:
            StartFailed: The folder cannot be written, or cannot be closed to other users.
        """
        try:
            self.path.mkdir(parents=True, mode=0o700, exist_ok=True)
            close_folder(self.path)
            if (self.path / _KEYS).exists():
                close_content(self.path)
            probe = self.path / "probe"
            # not an empty file, which a full disk still takes
            probe.write_bytes(bytes(4096))
            probe.unlink()
        except NotPrivate as error:
            raise StartFailed(f"the state folder {self.path} cannot be used: {error}") from error
        except OSError as error:
            raise StartFailed(f"the state folder {self.path} cannot be written: {error.strerror}") from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder against another ``pleura up``; the lock ends with the process.

        Raises:
            AlreadyRunning: Another ``pleura up`` has locked it.
        """
        with (self.path / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise AlreadyRunning from error
            yield

    def read(self) -> StackRecord | None:
        """Read the record of the last ``pleura up``; None where it is missing or damaged."""
        try:
            return _parse_record(json.loads((self.path / "state.json").read_text()))
        except (OSError, ValueError, KeyError, TypeError, AssertionError):
            return None

    def write(self, record: StackRecord) -> None:
        """Replace the record."""
        self._write_private("state.json", asdict(record))

    def remove_record(self) -> None:
        """Remove the record, because nothing runs any more."""
        (self.path / "state.json").unlink(missing_ok=True)

    def choose_inner_ports(self, names: Sequence[str]) -> dict[str, int]:
        """Choose a port for each part inside the stack: the port of the last start, if it is still free."""
        path = self.path / "ports.json"
        try:
            earlier: dict[str, int] = json.loads(path.read_text())
        except (OSError, ValueError):
            earlier = {}
        ports = {
            name: earlier[name] if name in earlier and claim_port(earlier[name]) else free_port()
            for name in names
        }
        self._write_private("ports.json", ports)
        return ports

    def read_store_keys(self) -> tuple[str, str]:
        """Read access key and secret key of the embedded object store; make them at the first start."""
        path = self.path / _KEYS
        try:
            access_key, secret_key = json.loads(path.read_text())
        except (OSError, ValueError):
            access_key, secret_key = secrets.token_hex(10), secrets.token_urlsafe(30)
            self._write_private(_KEYS, [access_key, secret_key])
        return access_key, secret_key

    def read_pseudonym_key(self) -> str:
        """Read the key of the journal's pseudonyms; make it at the first start.

        Raises:
            StartFailed: The key is damaged. With another one, no earlier answer is found by its identifiers.
        """
        path = self.path / "pseudonym_key.json"
        try:
            key: str = json.loads(path.read_text())
        except FileNotFoundError:
            key = secrets.token_urlsafe(32)
            self._write_private(path.name, key)
        except ValueError as error:
            raise StartFailed(f"{path} is damaged: bring it back from a copy, or remove it") from error
        return key

    def _write_private(self, name: str, document: object) -> None:
        write_private(self.path / name, json.dumps(document, indent=2).encode())


def stop_left_behind(record: StackRecord, timeout_s: float = 5.0) -> int:
    """Stop the processes of a stack whose supervisor has ended, and count them."""
    survivors = record.survivors
    for process in survivors:
        process.signal_group(signal.SIGTERM)
    _await_end(survivors, timeout_s)
    for process in survivors:
        process.signal_group(signal.SIGKILL)
    return len(survivors)


def stop_stack(record: StackRecord, timeout_s: float = 60.0) -> None:
    """Have the supervisor stop its stack in order, and kill the processes that do not stop."""
    if record.is_running:
        os.kill(record.supervisor.pid, signal.SIGTERM)
        _await_end([record.supervisor], timeout_s)
    if record.is_running:
        os.kill(record.supervisor.pid, signal.SIGKILL)
    stop_left_behind(record)


def _await_end(processes: Sequence[ProcessId], timeout_s: float) -> None:
    end = time.monotonic() + timeout_s
    while any(process.is_alive for process in processes) and time.monotonic() < end:
        time.sleep(0.05)
