"""Parts that need each other, as real processes that only sleep."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pleura.local.parts import Interrupted, Part, PartDied, PartSupervisor
from pleura.local.processes import Command, Server, StartFailed, launch


def _sleeper(folder: Path, name: str, seconds: float = 100) -> Callable[[], Server]:
    command = Command(name, ["sleep", str(seconds)], folder / f"{name}.log")
    return lambda: Server(name, f"{name}://", command.log, launch(command))


def _fails() -> None:
    raise StartFailed("part b: no")


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20.0
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


def test_a_part_starts_after_what_it_needs(tmp_path: Path) -> None:
    """Parts start as soon as what they need answers, and stop the other way round."""
    said: list[str] = []
    stack = PartSupervisor(
        [
            Part("a", _sleeper(tmp_path, "a")),
            Part("b", lambda: None, ["a"]),
            Part("c", _sleeper(tmp_path, "c"), ["b"]),
        ],
        said.append,
    )
    stack.start()
    servers = dict(stack.servers)
    assert [line.split()[0] for line in said] == ["a", "b", "c"]
    assert list(servers) == ["a", "c"]
    stack.stop()
    assert all(server.process.poll() is not None for server in servers.values())


def test_a_part_that_fails_ends_the_start(tmp_path: Path) -> None:
    """The first failure is raised as it is, and what ran is stopped."""
    stack = PartSupervisor([Part("a", _sleeper(tmp_path, "a")), Part("b", _fails, ["a"])], lambda _: None)
    with pytest.raises(StartFailed, match="part b: no"):
        stack.start()
    (server,) = stack.servers.values()
    stack.stop()
    assert server.process.poll() is not None


def test_a_start_can_be_interrupted(tmp_path: Path) -> None:
    """Asked to stop while a part starts, the stack does not wait for it, and stops it when it comes."""
    late: list[Server] = []

    def start_late() -> Server:
        time.sleep(1.0)
        late.append(_sleeper(tmp_path, "late")())
        return late[0]

    stack = PartSupervisor([Part("late", start_late)], lambda _: None)
    threading.Timer(0.2, stack.request_stop).start()
    with pytest.raises(Interrupted):
        stack.start()
    stack.stop()
    assert late[0].process.poll() is not None


def test_a_dead_part_is_started_again(tmp_path: Path) -> None:
    """A death is told with the part's name and log; the part runs again."""
    said: list[str] = []
    stack = PartSupervisor([Part("a", _sleeper(tmp_path, "a"))], said.append)
    stack.start()
    first = stack.servers["a"]
    watching = threading.Thread(target=stack.watch)
    watching.start()
    first.process.kill()
    _until(lambda: "a" in stack.servers and stack.servers["a"] is not first)
    second = stack.servers["a"]
    assert second.process.poll() is None
    assert f"a died (exit code -9; log: {tmp_path / 'a.log'}); starting it again, 1 of 3" in said
    stack.request_stop()
    watching.join()
    stack.stop()
    assert second.process.poll() is not None


def test_a_part_that_dies_again_and_again_ends_the_stack(tmp_path: Path) -> None:
    """After so many restarts within a minute the next death is the end, in one line."""
    said: list[str] = []
    stack = PartSupervisor([Part("mayfly", _sleeper(tmp_path, "mayfly", 0.05))], said.append, restarts=5)
    stack.start()
    with pytest.raises(PartDied, match=r"mayfly died \(exit code 0; log: .*\) 6 times within a minute"):
        stack.watch()
    stack.stop()
    assert sum("starting it again" in line for line in said) == 5


def test_a_part_that_does_not_restart_at_once_is_tried_again(tmp_path: Path) -> None:
    """A killed PostgreSQL's children may hold its files for a moment; the stack does not fall for that."""
    said: list[str] = []
    starts = [_sleeper(tmp_path, "a", 0.05), _fails, _fails, _sleeper(tmp_path, "a")]
    stack = PartSupervisor([Part("a", lambda: starts.pop(0)())], said.append)
    stack.start()
    watching = threading.Thread(target=stack.watch)
    watching.start()
    _until(lambda: not starts and "a" in stack.servers)
    stack.request_stop()
    watching.join(20)
    stack.stop()
    assert sum("part b: no" in line for line in said) == 2
