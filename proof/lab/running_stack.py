"""Run a whole ``pleura up`` in its own process."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pleura.local.access import make_token
from pleura.local.processes import free_port
from pleura.local.state_folder import ProcessId, StackRecord, StateFolder

_ROOT = Path(__file__).parents[2]
_START_TIMEOUT_S = 180.0
_STOP_TIMEOUT_S = 60.0


def run_pleura(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command ``pleura`` and wait for it."""
    return subprocess.run(
        [sys.executable, "-m", "pleura.console.app", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=_START_TIMEOUT_S,
        cwd=folder or _ROOT,
        env=build_clean_environment(),
    )


def build_clean_environment() -> dict[str, str]:
    """Build the environment without Pleura's own variables, so that a test starts with the defaults."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PLEURA_")}
    return inherited | {"PYTHONPATH": str(_ROOT)}


def find_descendants(pid: int) -> list[ProcessId]:
    """Find a process and all processes that it started, directly or through others."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name of a process, in brackets, may itself hold spaces and brackets.
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # the process ended meanwhile
            continue
    pids = [pid]
    # The list grows while it is walked, so that children of children are found too.
    for known_pid in pids:
        pids += [child for child, parent in parents.items() if parent == known_pid]
    return [ProcessId.read(found_pid) for found_pid in pids]


def find_survivors(processes: Sequence[ProcessId], timeout_s: float = 20.0) -> list[ProcessId]:
    """Wait for processes to end, and return those that have not ended in time."""
    end = time.monotonic() + timeout_s
    while (left := [process for process in processes if process.is_alive]) and time.monotonic() < end:
        time.sleep(0.05)
    return left


@contextlib.contextmanager
def freeze_processes(pid: int) -> Iterator[None]:
    """Freeze a process and its children until the block ends."""
    processes = find_descendants(pid)
    try:
        _send_signal(processes, signal.SIGSTOP)
        yield
    finally:
        _send_signal(processes, signal.SIGCONT)


def _send_signal(processes: Sequence[ProcessId], number: signal.Signals) -> None:
    for process in processes:
        # PostgreSQL has workers that end by themselves.
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


@dataclass(frozen=True)
class RunningStack:
    """A running ``pleura up``."""

    state: StateFolder
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def record(self) -> StackRecord:
        """The record that the stack has written to its state folder."""
        record = self.state.read()
        assert record, self.log.read_text()
        return record

    def make_token(self) -> str:
        """Make a bearer token for the stack."""
        return make_token(self.state.path, self.record.issuer, subject="tester")

    @property
    def service_key(self) -> str:
        """The key by which the services of the stack know each other."""
        return (self.state.path / "service_key").read_text()

    @property
    def journal_dsn(self) -> str:
        """The connection string of the journal, if the stack has started PostgreSQL itself."""
        password = (self.state.path / "postgres" / "password").read_text()
        return f"postgresql://pleura:{password}@{self.record.parts['postgres'].url}"

    @property
    def cache_url(self) -> str:
        """The address of the cache with its password, if the stack has started Valkey itself."""
        password = (self.state.path / "valkey" / "password").read_text()
        return f"redis://:{password}@{self.record.parts['valkey'].url}"

    def stop(self) -> None:
        """Stop the stack, and wait for its end."""
        self.process.terminate()
        self.process.wait(_STOP_TIMEOUT_S)

    def find_process(self, name: str) -> ProcessId:
        """Return the process of a part."""
        return self.record.parts[name].process

    def kill(self, name: str) -> None:
        """Kill the process of a part."""
        os.kill(self.find_process(name).pid, signal.SIGKILL)

    @contextlib.contextmanager
    def freeze(self, name: str) -> Iterator[None]:
        """Freeze a part and its children until the block ends."""
        with freeze_processes(self.find_process(name).pid):
            yield


def start_stack(
    folder: Path, bundle: Path, *options: str, environment: Mapping[str, str] | None = None
) -> RunningStack:
    """Start a stack, and wait until it is ready."""
    folder.mkdir(parents=True, exist_ok=True)
    state, log = StateFolder(folder / "state"), folder / "up.log"
    ports = ["--port", str(free_port()), "--grpc-port", str(free_port())]
    command = ["--state", str(state.path), "up", "--bundle", str(bundle), *ports, *options]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "pleura.console.app", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=build_clean_environment()
            # The stack notes there that it was started last, and the user's own note must stay.
            | {"XDG_STATE_HOME": str(folder.resolve())}
            | dict(environment or {}),
        )
    end = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < end and process.poll() is None:
        record = state.read()
        # A record of an earlier stack may still lie in the folder.
        if record and record.phase == "ready" and record.supervisor.pid == process.pid:
            return RunningStack(state, process, log)
        time.sleep(0.1)
    process.kill()
    raise AssertionError(log.read_text())
