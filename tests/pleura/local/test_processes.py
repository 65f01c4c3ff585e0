"""Server processes: how they start, fail and end."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pleura.local.pleura_services import build_service_environment
from pleura.local.processes import (
    Command,
    Server,
    StartFailed,
    claim_port,
    free_port,
    is_free,
    launch,
    require_free,
    wait_until,
)
from pleura.local.state_folder import ProcessId

_ROOT = Path(__file__).parents[3]
_PARENT = """
import sys, threading, time
from pathlib import Path
from pleura.local.processes import Command, launch
def start():
    child = launch(Command("child", ["sh", "-c", "sleep 100 & echo $!; wait"], Path(sys.argv[1])))
    print(child.pid, flush=True)
thread = threading.Thread(target=start)
thread.start()
thread.join()
time.sleep(100)
"""


def start_sleeper(folder: Path, seconds: float = 100) -> Server:
    command = Command("sleeper", ["sleep", str(seconds)], folder / "sleeper.log")
    return Server("sleeper", "", command.log, launch(command))


def wait_for_end(process: ProcessId, timeout_s: float = 20.0) -> None:
    end = time.monotonic() + timeout_s
    while process.is_alive and time.monotonic() < end:
        time.sleep(0.02)
    assert not process.is_alive


def test_a_secret_replaces_the_file_that_a_server_would_inherit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service refuses to start with both."""
    monkeypatch.setenv("PLEURA_S3_SECRET_KEY_FILE", "/run/secrets/s3")
    secret = {"PLEURA_S3_SECRET_KEY": "secret"}
    command = Command("env", ["sh", "-c", "env | grep PLEURA_S3"], tmp_path / "env.log", secret)
    assert launch(command).wait(30) == 0
    assert command.log.read_text() == "PLEURA_S3_SECRET_KEY=secret\n"


def test_a_server_uses_batch_scheduling(tmp_path: Path) -> None:
    """A server that a message wakes does not take the core of the sender."""
    server, end = start_sleeper(tmp_path), time.monotonic() + 10
    try:
        while os.sched_getscheduler(server.process.pid) != os.SCHED_BATCH:
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        server.stop()


def test_a_part_sees_no_variable_of_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes flags from variables, or a library that does, gets none but those meant for it."""
    for name in ("DEBUG", "VOLUME", "WEED_JWT_SIGNING_KEY", "PGOPTIONS", "GODEBUG", "LD_PRELOAD", "PLEURA_X"):
        monkeypatch.setenv(name, "x" if name != "LD_PRELOAD" else "")
    monkeypatch.setenv("TZ", "UTC")
    command = Command("shell", ["env"], tmp_path / "log", {"GOGC": "400"})
    assert launch(command).wait(10) == 0
    seen = dict(line.split("=", 1) for line in command.log.read_text().splitlines())
    assert seen.items() >= {"GOGC": "400", "TZ": "UTC", "PATH": os.environ["PATH"]}.items()
    assert not seen.keys() & {"DEBUG", "VOLUME", "PGOPTIONS", "GODEBUG", "LD_PRELOAD", "PLEURA_X"}
    assert not any(name.startswith("WEED_") for name in seen)


def test_a_service_sees_the_settings_of_pleura(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings, the telemetry and private authorities reach the services; other variables do not."""
    for name in ("PLEURA_LOG_LEVEL", "OTEL_SERVICE_NAME", "SSL_CERT_FILE", "DEBUG", "HTTP_PROXY"):
        monkeypatch.setenv(name, "x")
    seen = build_service_environment().keys()
    assert seen >= {"PLEURA_LOG_LEVEL", "OTEL_SERVICE_NAME", "SSL_CERT_FILE", "PYTHONPATH"}
    assert not seen & {"DEBUG", "HTTP_PROXY"}


def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    """Kill -9 of the parent ends its children, also a child of a thread that has ended."""
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        cwd=_ROOT,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    assert parent.stdout
    child = ProcessId.read(int(parent.stdout.readline()))
    time.sleep(0.2)
    assert child.is_alive
    parent.kill()
    parent.communicate()
    wait_for_end(child)
    os.killpg(child.pid, signal.SIGKILL)  # the grandchild; servers of Pleura have none


def test_stop_ends_the_whole_group(tmp_path: Path) -> None:
    """The children of a server end with it."""
    log = tmp_path / "log"
    command = Command("shell", ["sh", "-c", "sleep 100 & echo $!; wait"], log)
    server = Server("shell", "", log, launch(command))
    while not log.read_text().strip():
        time.sleep(0.02)
    grandchild = ProcessId.read(int(log.read_text()))
    server.stop()
    wait_for_end(grandchild)


def test_stop_kills_a_server_that_ignores_the_signal(tmp_path: Path) -> None:
    """A server that ignores the signal is killed after its time, and its leftovers are removed."""
    log, leftover = tmp_path / "log", tmp_path / "leftover"
    command = Command("deaf", ["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1; done"], log)
    server = Server("deaf", "", log, launch(command), grace_s=0.2, leftovers=[leftover])
    while "deaf" not in log.read_text():
        time.sleep(0.02)
    leftover.touch()
    server.stop()
    assert server.process.returncode == -signal.SIGKILL
    assert not leftover.exists()


def test_a_server_that_ends_at_once_is_named_with_its_log(tmp_path: Path) -> None:
    """The error is one line with the part's name, the last line of its log, and the log's path."""
    command = Command("shy", ["sh", "-c", "echo no memory; exit 3"], tmp_path / "shy.log")
    server = Server("shy", "", command.log, launch(command))
    with pytest.raises(StartFailed, match=r"shy ended at its start: no memory \(log: .*shy.log\)"):
        wait_until(server, lambda: False)


def test_a_server_that_never_answers_is_stopped(tmp_path: Path) -> None:
    """A server that does not answer in time is an error, and no process remains."""
    server = start_sleeper(tmp_path)
    with pytest.raises(StartFailed, match="sleeper did not answer within 0 s"):
        wait_until(server, lambda: False, timeout_s=0.3)
    assert server.process.poll() is not None


def test_a_missing_program_is_one_line(tmp_path: Path) -> None:
    """A program that does not exist ends the start with the part's name."""
    command = Command("ghost", ["/nonexistent/ghost"], tmp_path / "ghost.log")
    server = Server("ghost", "", command.log, launch(command))
    with pytest.raises(StartFailed, match=r"ghost ended at its start: .*ghost"):
        wait_until(server, lambda: False)


def test_a_taken_port_is_named() -> None:
    """A port with a listener is not free; the error names part and port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert not is_free(port)
        with pytest.raises(StartFailed, match=f"thing: port {port} is taken"):
            require_free("thing", port)
    assert is_free(free_port())


def test_a_port_is_chosen_once() -> None:
    """All ports are different, also before a server listens on them."""
    ports = [free_port() for _ in range(2_000)]
    assert len(set(ports)) == len(ports)


CLAIM = """
import time
from pleura.local.processes import free_port
print(free_port(), flush=True)
time.sleep(60)
"""


def test_a_port_that_another_process_claims_is_not_chosen() -> None:
    """A claim holds before a server listens, and ends with its process: no two stacks choose one port."""
    with subprocess.Popen([sys.executable, "-c", CLAIM], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline())
        claimed = claim_port(port)
        other.kill()
    assert not claimed
    assert claim_port(port)
