"""What a stack leaves on disk about itself."""

import os
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from pleura.local.processes import StartFailed
from pleura.local.state_folder import (
    AlreadyRunning,
    PartState,
    ProcessId,
    StackRecord,
    StateFolder,
    stop_left_behind,
)


def _recorded(**parts: PartState) -> StackRecord:
    return StackRecord(
        "ready", ProcessId.current(), "http://127.0.0.1:1", "127.0.0.1:2", "issuer", {"url": "store"}, parts
    )


def test_a_process_is_not_one_that_has_its_number_later() -> None:
    """Number and start time tell a process; one that only shares the number is neither alive nor hit."""
    here = ProcessId.current()
    assert here.is_alive
    impostor = ProcessId(here.pid, "123")
    assert not impostor.is_alive
    impostor.signal_group(signal.SIGKILL)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """The state round-trips, readable by its owner only, since it holds keys."""
    state = StateFolder(tmp_path / "state")
    state.make()
    recorded = _recorded(valkey=PartState(ProcessId(1, "2"), "redis://", "/log"))
    state.write(recorded)
    assert state.read() == recorded
    assert stat.S_IMODE((state.path / "state.json").stat().st_mode) == 0o600
    state.remove_record()
    assert state.read() is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"parts": 1}', '{"parts": {}, "supervisor": {}}'])
def test_a_damaged_state_is_none(tmp_path: Path, content: str) -> None:
    """A state file that was cut short counts as none."""
    (tmp_path / "state.json").write_text(content)
    assert StateFolder(tmp_path).read() is None


def test_only_one_holds_the_lock(tmp_path: Path) -> None:
    """A second holder is refused, until the first has gone."""
    state = StateFolder(tmp_path)
    with state.locked(), pytest.raises(AlreadyRunning), state.locked():
        pass
    with state.locked():
        pass


def test_ports_and_keys_stay(tmp_path: Path) -> None:
    """Inner ports and the store's keys are the same the next time."""
    state = StateFolder(tmp_path)
    ports, keys = state.choose_inner_ports(["a", "b"]), state.read_store_keys()
    assert ports["a"] != ports["b"]
    assert state.choose_inner_ports(["a", "b"]) == ports
    assert state.read_store_keys() == keys


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """The error names the folder and why."""
    (tmp_path / "file").touch()
    with pytest.raises(StartFailed, match=r"folder .*/state cannot be written: Not a dir"):
        StateFolder(tmp_path / "file" / "state").make()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
def test_a_full_disk_is_an_os_error(tmp_path: Path) -> None:
    """State that does not fit on the disk is refused, never half written over the old one."""
    state = StateFolder(tmp_path)
    state.write(_recorded())
    (tmp_path / "state.json.new").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        state.write(_recorded(valkey=PartState(ProcessId(1, "2"), "redis://", "/log")))
    assert state.read() == _recorded()


def test_what_an_earlier_stack_left_behind_is_ended() -> None:
    """Processes that are still those that were recorded end; others are left alone."""
    left = subprocess.Popen(["sleep", "100"], start_new_session=True)
    other = subprocess.Popen(["sleep", "100"], start_new_session=True)
    recorded = _recorded(
        mine=PartState(ProcessId.read(left.pid), "", ""), other=PartState(ProcessId(other.pid, "0"), "", "")
    )
    assert stop_left_behind(recorded) == 1
    assert left.wait(10) < 0
    assert other.poll() is None
    os.kill(other.pid, 9)
    other.wait()
