"""What a one-machine stack leaves on disk about itself: who runs where, its ports, its keys, and the lock."""

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

from pleura.local.processes import StartFailed, free_port, is_free


class AlreadyRunning(Exception):
    """Another ``pleura up`` holds this state folder."""


@dataclass(frozen=True)
class ProcessId:
    """A process, told apart from a later one with the same number by when it started."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> "ProcessId":
        """The process that has this number now; ``started`` is empty where none has."""
        return cls(pid, _start_time(pid))

    @classmethod
    def here(cls) -> "ProcessId":
        """This process."""
        return cls.of(os.getpid())

    @property
    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        return bool(self.started) and _start_time(self.pid) == self.started

    def kill_group(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal the process and what it started, if it is still the same."""
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)


def _start_time(pid: int) -> str:
    """When a process started; empty where there is none, or only its exit status is left."""
    stat = Path("/proc") / str(pid) / "stat"
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] in "ZX" else fields[19]
    asked = ["/bin/ps", "-o", "lstart=", "-p", str(pid)]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603


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
    metrics: Mapping[str, str] = field(default_factory=dict)  # by service, where Prometheus asks

    @property
    def is_running(self) -> bool:
        """Whether the process that keeps this stack is alive."""
        return self.supervisor.is_alive

    @property
    def survivors(self) -> Sequence[ProcessId]:
        """The processes of the stack that are alive."""
        return [part.process for part in self.parts.values() if part.process.is_alive]


def _from_document(document: dict[str, object]) -> StackRecord:
    parts = document.pop("parts")
    supervisor = document.pop("supervisor")
    assert isinstance(parts, dict)
    assert isinstance(supervisor, dict)
    return StackRecord(
        **document,  # type: ignore[arg-type]  # checked by the caller: whatever does not fit is a TypeError
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
        """Make the folder, readable by nobody else, and prove that it can be written to.

        Raises:
            StartFailed: It cannot.
        """
        try:
            self.path.mkdir(parents=True, mode=0o700, exist_ok=True)
            probe = self.path / "probe"
            probe.write_bytes(bytes(4096))
            probe.unlink()
        except OSError as error:
            raise StartFailed(f"the state folder {self.path} cannot be written: {error.strerror}") from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder against another ``pleura up``; the lock ends with the process.

        Raises:
            AlreadyRunning: Another one holds it.
        """
        with (self.path / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise AlreadyRunning from error
            yield

    def read(self) -> StackRecord | None:
        """What the last ``pleura up`` wrote; None where there was none, or it is damaged."""
        try:
            return _from_document(json.loads((self.path / "state.json").read_text()))
        except (OSError, ValueError, KeyError, TypeError, AssertionError):
            return None

    def write(self, recorded: StackRecord) -> None:
        """Replace what is recorded."""
        self._write_secretly("state.json", asdict(recorded))

    def forget(self) -> None:
        """Say that nothing runs any more."""
        (self.path / "state.json").unlink(missing_ok=True)

    def inner_ports(self, names: Sequence[str]) -> dict[str, int]:
        """A port for each part inside the stack: that of last time where it is still free."""
        path = self.path / "ports.json"
        try:
            known: dict[str, int] = json.loads(path.read_text())
        except (OSError, ValueError):
            known = {}
        ports = {n: known[n] if n in known and is_free(known[n]) else free_port() for n in names}
        self._write_secretly("ports.json", ports)
        return ports

    def store_keys(self) -> tuple[str, str]:
        """The access key and secret key of the embedded object store."""
        path = self.path / "keys.json"
        try:
            access_key, secret_key = json.loads(path.read_text())
        except (OSError, ValueError):
            access_key, secret_key = secrets.token_hex(10), secrets.token_urlsafe(30)
            self._write_secretly("keys.json", [access_key, secret_key])
        return access_key, secret_key

    def _write_secretly(self, name: str, document: object) -> None:
        new = self.path / f"{name}.new"
        new.touch(0o600)
        new.write_text(json.dumps(document, indent=2))
        new.replace(self.path / name)


def stop_left_behind(recorded: StackRecord, timeout_s: float = 5.0) -> int:
    """End the processes of a stack whose supervisor is gone, and count them."""
    survivors = recorded.survivors
    for process in survivors:
        process.kill_group(signal.SIGTERM)
    _wait_for(survivors, timeout_s)
    for process in survivors:
        process.kill_group()
    return len(survivors)


def stop_recorded(recorded: StackRecord, timeout_s: float = 60.0) -> None:
    """Make a stack's supervisor stop it in order; kill what does not stop."""
    if recorded.is_running:
        os.kill(recorded.supervisor.pid, signal.SIGTERM)
        _wait_for([recorded.supervisor], timeout_s)
    if recorded.is_running:
        os.kill(recorded.supervisor.pid, signal.SIGKILL)
    stop_left_behind(recorded)


def _wait_for(processes: Sequence[ProcessId], timeout_s: float) -> None:
    end = time.monotonic() + timeout_s
    while any(process.is_alive for process in processes) and time.monotonic() < end:
        time.sleep(0.05)
