"""Which state folder a command means, from any folder."""

import os
from pathlib import Path

import pytest

from pleura.local.discovery import find_folder_to_start, find_state_folder, remember_stack
from pleura.local.state_folder import ProcessId, StackRecord, StateFolder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, below a parent; the user's record of stacks is empty."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    folder = tmp_path / "parent" / "here"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def start_stack(folder: Path, process: ProcessId) -> Path:
    """Record a stack as ``pleura up`` does."""
    state = StateFolder(folder)
    state.make()
    state.write(StackRecord("ready", process, "", "", "", {}))
    remember_stack(state.path)
    return state.path


def test_without_any_stack_it_is_a_folder_here(here: Path) -> None:
    """Where nothing says otherwise, ``.pleura`` in the current folder counts."""
    assert find_state_folder(None) == here / ".pleura"


def test_the_given_folder_comes_first(here: Path, tmp_path: Path) -> None:
    """An explicit folder wins over all others, whether it exists or not."""
    (here / ".pleura").mkdir()
    assert find_state_folder(tmp_path / "given") == tmp_path / "given"
    assert find_folder_to_start(Path("given")) == here / "given"


def test_the_nearest_folder_comes_before_the_last_stack(here: Path, tmp_path: Path) -> None:
    """A folder of the current project counts more than a stack that runs elsewhere."""
    start_stack(tmp_path / "elsewhere", ProcessId.current())
    (here.parent / ".pleura").mkdir()
    assert find_state_folder(None) == here.parent / ".pleura"
    (here / ".pleura").mkdir()
    assert find_state_folder(None) == here / ".pleura"


def test_the_last_stack_counts_while_it_runs(here: Path, tmp_path: Path) -> None:
    """A stack that has ended is not found; ``pleura up`` starts in the current folder either way."""
    state = start_stack(tmp_path / "elsewhere", ProcessId.current())
    assert find_state_folder(None) == state
    assert find_folder_to_start(None) == here / ".pleura"
    start_stack(state, ProcessId(1, "in another time"))
    assert find_state_folder(None) == here / ".pleura"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_the_folder_of_another_user_does_not_count(here: Path) -> None:
    """In a shared parent another user could redirect the requests."""
    (here.parent / ".pleura").mkdir()
    os.chown(here.parent / ".pleura", 65534, 65534)
    assert find_state_folder(None) == here / ".pleura"


def test_a_home_that_cannot_be_written_is_no_failure(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is a convenience: without it the stack still starts."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    remember_stack(here)
    assert find_state_folder(None) == here / ".pleura"
