"""Parts that need each other, as real processes that only sleep."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pleura.local.parts import Interrupted, Part, PartDied, PartSupervisor
from pleura.local.processes import Command, Server, StartFailed, launch
from proof.lab.module_process import wait_until


def start_sleeper(folder: Path, name: str, seconds: float = 100) -> Callable[[], Server]:
    command = Command(name, ["sleep", str(seconds)], folder / f"{name}.log")
    return lambda: Server(name, f"{name}://", command.log, launch(command))


def fail_to_start() -> None:
    raise StartFailed("part b: no")


def test_a_part_starts_after_the_parts_that_it_needs(tmp_path: Path) -> None:
    """A part starts as soon as the parts that it needs answer; parts stop in the reverse order."""
    lines: list[str] = []
    supervisor = PartSupervisor(
        [
            Part("a", start_sleeper(tmp_path, "a")),
            Part("b", lambda: None, ["a"]),
            Part("c", start_sleeper(tmp_path, "c"), ["b"]),
        ],
        lines.append,
    )
    supervisor.start()
    servers = dict(supervisor.servers)
    assert [line.split()[0] for line in lines] == ["a", "b", "c"]
    assert list(servers) == ["a", "c"]
    supervisor.stop()
    assert all(server.process.poll() is not None for server in servers.values())


def test_a_part_thatfail_to_start_ends_the_start(tmp_path: Path) -> None:
    """The first failure is raised unchanged, and the running parts are stopped."""
    supervisor = PartSupervisor(
        [Part("a", start_sleeper(tmp_path, "a")), Part("b", fail_to_start, ["a"])], lambda _: None
    )
    with pytest.raises(StartFailed, match="part b: no"):
        supervisor.start()
    (server,) = supervisor.servers.values()
    supervisor.stop()
    assert server.process.poll() is not None


def test_a_start_can_be_interrupted(tmp_path: Path) -> None:
    """A stop while a part starts does not wait for the part, and stops it once it has started."""
    late: list[Server] = []

    def start_late() -> Server:
        time.sleep(1.0)
        late.append(start_sleeper(tmp_path, "late")())
        return late[0]

    supervisor = PartSupervisor([Part("late", start_late)], lambda _: None)
    threading.Timer(0.2, supervisor.request_stop).start()
    with pytest.raises(Interrupted):
        supervisor.start()
    supervisor.stop()
    assert late[0].process.poll() is not None


def test_a_dead_part_is_started_again(tmp_path: Path) -> None:
    """A death is reported with the part's name and log, and the part runs again."""
    lines: list[str] = []
    supervisor = PartSupervisor([Part("a", start_sleeper(tmp_path, "a"))], lines.append)
    supervisor.start()
    first = supervisor.servers["a"]
    watching = threading.Thread(target=supervisor.watch)
    watching.start()
    first.process.kill()
    wait_until(lambda: "a" in supervisor.servers and supervisor.servers["a"] is not first)
    second = supervisor.servers["a"]
    assert second.process.poll() is None
    assert f"a died (exit code -9; log: {tmp_path / 'a.log'}); starting it again, 1 of 3" in lines
    supervisor.request_stop()
    watching.join()
    supervisor.stop()
    assert second.process.poll() is not None


def test_a_part_that_dies_too_often_ends_the_stack(tmp_path: Path) -> None:
    """After the allowed restarts within a minute, the next death is an error of one line."""
    lines: list[str] = []
    supervisor = PartSupervisor(
        [Part("mayfly", start_sleeper(tmp_path, "mayfly", 0.05))], lines.append, restarts=5
    )
    supervisor.start()
    with pytest.raises(PartDied, match=r"mayfly died \(exit code 0; log: .*\) 6 times within a minute"):
        supervisor.watch()
    supervisor.stop()
    assert sum("starting it again" in line for line in lines) == 5


def test_a_part_that_does_not_restart_at_once_is_tried_again(tmp_path: Path) -> None:
    """The children of a killed PostgreSQL may hold its files for a moment: a second start succeeds."""
    lines: list[str] = []
    starts = [start_sleeper(tmp_path, "a", 0.05), fail_to_start, fail_to_start, start_sleeper(tmp_path, "a")]
    supervisor = PartSupervisor([Part("a", lambda: starts.pop(0)())], lines.append)
    supervisor.start()
    watching = threading.Thread(target=supervisor.watch)
    watching.start()
    wait_until(lambda: not starts and "a" in supervisor.servers)
    supervisor.request_stop()
    watching.join(20)
    supervisor.stop()
    assert sum("part b: no" in line for line in lines) == 2
