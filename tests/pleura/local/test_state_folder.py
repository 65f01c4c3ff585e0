"""The record that a stack writes about itself."""

import os
import resource
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


def new_record(**parts: PartState) -> StackRecord:
    return StackRecord(
        "ready", ProcessId.current(), "http://127.0.0.1:1", "127.0.0.1:2", "issuer", {"url": "store"}, parts
    )


def test_a_process_is_not_one_that_has_its_number_later() -> None:
    """A process has a number and a start time; another process with the number is not signalled."""
    this_process = ProcessId.current()
    assert this_process.is_alive
    impostor = ProcessId(this_process.pid, "123")
    assert not impostor.is_alive
    impostor.signal_group(signal.SIGKILL)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """The record is read as it was written. Only its owner can read it, because it holds keys."""
    state = StateFolder(tmp_path / "state")
    state.make()
    record = new_record(valkey=PartState(ProcessId(1, "2"), "redis://", "/log"))
    state.write(record)
    assert state.read() == record
    assert stat.S_IMODE((state.path / "state.json").stat().st_mode) == 0o600
    state.remove_record()
    assert state.read() is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"parts": 1}', '{"parts": {}, "supervisor": {}}'])
def test_a_damaged_record_counts_as_none(tmp_path: Path, content: str) -> None:
    """A record that was cut short counts as none."""
    (tmp_path / "state.json").write_text(content)
    assert StateFolder(tmp_path).read() is None


def test_one_stack_holds_the_lock(tmp_path: Path) -> None:
    """A second stack is refused until the first has ended."""
    state = StateFolder(tmp_path)
    with state.locked(), pytest.raises(AlreadyRunning), state.locked():
        pass
    with state.locked():
        pass


def test_ports_and_keys_stay(tmp_path: Path) -> None:
    """The next start uses the same inner ports and keys."""
    state = StateFolder(tmp_path)
    ports, keys = state.choose_inner_ports(["a", "b"]), state.read_store_keys()
    pseudonym_key = state.read_pseudonym_key()
    assert len(pseudonym_key) >= 32
    assert ports["a"] != ports["b"]
    assert state.choose_inner_ports(["a", "b"]) == ports
    assert state.read_store_keys() == keys
    assert state.read_pseudonym_key() == pseudonym_key


def test_an_open_folder_is_closed(tmp_path: Path) -> None:
    """A folder that exists, and all that an earlier stack left in it, is for its owner only afterwards."""
    state = StateFolder(tmp_path / "state")
    state.path.mkdir(mode=0o755)
    state.read_store_keys()
    (state.path / "transformer").mkdir(mode=0o755)
    files = [state.path / "up.log", state.path / "transformer" / "program"]
    for file, mode in zip(files, (0o644, 0o755), strict=True):
        file.touch()
        file.chmod(mode)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.touch(0o644)
    (state.path / "link").symlink_to(elsewhere)
    state.make()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (state.path, state.path / "transformer")] == [
        0o700,
        0o700,
    ]
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600, 0o700]
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o644


def test_the_files_of_a_folder_that_was_no_state_folder_stay(tmp_path: Path) -> None:
    """A folder with other files in it is closed as a whole, and these files keep their modes."""
    (tmp_path / "notes").touch(0o644)
    tmp_path.chmod(0o755)
    StateFolder(tmp_path).make()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "notes").stat().st_mode) == 0o644


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    """Another user could read what is kept in a folder of theirs; the error names the user."""
    state = StateFolder(tmp_path / "state")
    state.make()
    os.chown(state.path, 65534, 65534)
    with pytest.raises(StartFailed, match=r"folder .*/state cannot be used: it belongs to the user nobody"):
        state.make()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """The error names the folder and the reason."""
    (tmp_path / "file").touch()
    with pytest.raises(StartFailed, match=r"folder .*/state cannot be written: Not a dir"):
        StateFolder(tmp_path / "file" / "state").make()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
def test_a_record_that_does_not_fit_is_an_os_error(tmp_path: Path) -> None:
    """A record that cannot be written whole leaves the old record whole, and no other file."""
    state = StateFolder(tmp_path)
    state.write(new_record())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            state.write(new_record(valkey=PartState(ProcessId(1, "2"), "redis://", "/log")))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert state.read() == new_record()
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_processes_of_an_earlier_stack_are_stopped() -> None:
    """The recorded processes are stopped; another process with a recorded number is not."""
    recorded = subprocess.Popen(["sleep", "100"], start_new_session=True)
    other = subprocess.Popen(["sleep", "100"], start_new_session=True)
    record = new_record(
        mine=PartState(ProcessId.read(recorded.pid), "", ""),
        other=PartState(ProcessId(other.pid, "0"), "", ""),
    )
    assert stop_left_behind(record) == 1
    assert recorded.wait(10) < 0
    assert other.poll() is None
    os.kill(other.pid, 9)
    other.wait()
