"""The spool keeps its rows through anything but the loss of the disk."""

import multiprocessing
import multiprocessing.connection
import os
import resource
import signal
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformer.journal.spool import Spool, SpoolFull

MANY = 10**6


def _contents(spool: Spool) -> list[bytes]:
    found: list[bytes] = []
    for segment in spool.segments():
        with segment:
            found += [line.content for line in segment.read() if line.content is not None]
    return found


@given(st.lists(st.binary(max_size=50).filter(lambda line: b"\n" not in line), min_size=1))
def test_contents_are_read_as_they_were_appended(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    """Contents are complete and in order."""
    spool = Spool(tmp_path_factory.mktemp("spool"), MANY, rows_per_segment=3)
    for line in lines:
        spool.append([line])
    spool.seal()
    assert _contents(spool) == lines


def test_the_active_segment_is_not_replayed(tmp_path: Path) -> None:
    """No process replays a segment that is still written to."""
    spool = Spool(tmp_path, MANY)
    spool.append([b"one"])
    assert _contents(spool) == _contents(Spool(tmp_path, MANY)) == []
    spool.seal()
    assert _contents(Spool(tmp_path, MANY)) == [b"one"]


def test_a_deleted_segment_is_gone(tmp_path: Path) -> None:
    """The spool is empty when its segments are deleted."""
    spool = Spool(tmp_path, MANY)
    spool.append([b"one"])
    spool.seal()
    assert not spool.is_empty()
    for segment in spool.segments():
        with segment:
            segment.finish([])
    assert spool.is_empty()


def test_the_backlog_counts_all_segments(tmp_path: Path) -> None:
    """The backlog counts the rows and bytes of every process, and is zero after a replay."""
    spool, other = Spool(tmp_path, MANY, rows_per_segment=2), Spool(tmp_path, MANY)
    assert spool.backlog() == (0, 0)
    for line in (b"one", b"two", b"three"):
        spool.append([line])
    other.append([b"four", b"five"])
    assert spool.backlog() == (5, sum(path.stat().st_size for path in tmp_path.iterdir()))
    spool.append([b"six"])
    assert spool.backlog()[0] == 6
    for writer in (spool, other):
        writer.seal()
    for segment in spool.segments():
        with segment:
            segment.finish([])
    assert spool.backlog() == (0, 0)


def _write_and_die(folder: Path) -> None:
    spool = Spool(folder, MANY)
    spool.append([b"one", b"two"])
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_writer_leaves_its_rows(tmp_path: Path) -> None:
    """Another process can replay the rows from before a kill -9 at once."""
    writer = multiprocessing.get_context("spawn").Process(target=_write_and_die, args=(tmp_path,))
    writer.start()
    writer.join()
    assert _contents(Spool(tmp_path, MANY)) == [b"one", b"two"]


def _only_segment(folder: Path) -> Path:
    (path,) = folder.glob("*.spool")
    return path


@pytest.mark.parametrize("cut", [1, 5, 12])
def test_only_a_cut_last_line_is_lost(tmp_path: Path, cut: int) -> None:
    """A last line that is incomplete is ignored, since it was never acknowledged."""
    spool = Spool(tmp_path, MANY)
    spool.append([b"one", b"two"])
    spool.seal()
    path = _only_segment(tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])
    for segment in spool.segments():
        with segment:
            assert [line.content for line in segment.read()] == [b"one"]


def test_a_damaged_line_is_recognised_and_the_others_read(tmp_path: Path) -> None:
    """Damage in the middle is detected, and only its line is lost."""
    spool = Spool(tmp_path, MANY)
    spool.append([b"one", b"two", b"three"])
    spool.seal()
    path = _only_segment(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"two", b"twO"))
    for segment in spool.segments():
        with segment:
            assert [line.content for line in segment.read()] == [b"one", None, b"three"]


def _set_aside(spool: Spool, content: bytes) -> Path:
    """Set one line of a segment aside."""
    spool.append([b"good", content])
    spool.seal()
    for segment in spool.segments():
        with segment:
            segment.finish([line for line in segment.read() if line.content == content])
    (path,) = spool.folder.glob("*.damaged")
    return path


def _retried(spool: Spool) -> list[bytes | None]:
    contents = []
    for segment in spool.segments_to_retry():
        with segment:
            lines = segment.read()
            contents += [line.content for line in lines]
            segment.finish(lines)
    return contents


def test_lines_that_are_left_are_set_aside_alone(tmp_path: Path) -> None:
    """The file has these lines and no other, its segment is gone, and no other user can read it."""
    spool = Spool(tmp_path, MANY)
    path = _set_aside(spool, b"bad")
    assert path.read_bytes().endswith(b" bad\n")
    assert path.read_bytes().count(b"\n") == spool.count_set_aside() == 1
    assert spool.is_empty()
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert path.stat().st_mode & 0o077 == 0


def test_set_aside_lines_are_tried_at_the_start_and_after_a_change(tmp_path: Path) -> None:
    """Not each second: once for each process, and again when an operator has changed the file."""
    path = _set_aside(Spool(tmp_path, MANY), b"bad")
    spool = Spool(tmp_path, MANY)
    assert [_retried(spool) for _ in range(3)] == [[b"bad"], [], []]
    path.write_bytes(b"-------- repaired")
    assert [_retried(spool) for _ in range(2)] == [[b"repaired"], []]


def test_set_aside_lines_are_tried_each_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL may have been repaired, which the spool does not see."""
    spool = Spool(tmp_path, MANY)
    _set_aside(spool, b"bad")
    assert _retried(spool) == []
    hour_later = time.monotonic() + 3601
    monkeypatch.setattr("transformer.journal.spool.time.monotonic", lambda: hour_later)
    assert _retried(spool) == [b"bad"]


def test_a_repair_during_a_retry_is_kept(tmp_path: Path) -> None:
    """The result of a retry does not overwrite what an operator has written meanwhile."""
    path, spool = _set_aside(Spool(tmp_path, MANY), b"bad"), Spool(tmp_path, MANY)
    for segment in spool.segments_to_retry():
        with segment:
            segment.read()
            repaired = tmp_path / "mine"
            repaired.write_bytes(b"-------- repaired\n")
            repaired.replace(path)
            segment.finish([])
    assert _retried(spool) == [b"repaired"]


def test_only_a_line_that_was_set_aside_may_go_without_a_checksum(tmp_path: Path) -> None:
    """Dashes in a segment are damage, not a repair."""
    (tmp_path / "1.spool").write_bytes(b"-------- one\n")
    for segment in Spool(tmp_path, MANY).segments():
        with segment:
            assert [line.content for line in segment.read()] == [None]


def test_no_other_user_reads_the_spool(tmp_path: Path) -> None:
    """Rows name principals and radiographs."""
    spool = Spool(tmp_path / "spool", MANY)
    spool.append([b"one"])
    spool.seal()
    assert (tmp_path / "spool").stat().st_mode & 0o077 == 0
    assert _only_segment(tmp_path / "spool").stat().st_mode & 0o077 == 0


def test_a_full_spool_refuses_rows_and_keeps_the_others(tmp_path: Path) -> None:
    """Beyond its limit the spool takes nothing, not even a part, and the other rows stay readable."""
    spool = Spool(tmp_path, 60)
    spool.append([b"x" * 20])
    with pytest.raises(SpoolFull):
        spool.append([b"y" * 20, b"z" * 20])
    spool.append([b"small"])
    spool.seal()
    assert _contents(spool) == [b"x" * 20, b"small"]


def test_a_missing_folder_counts_as_a_full_spool(tmp_path: Path) -> None:
    """A disk that fails is an error, not a lost row."""
    folder = tmp_path / "spool"
    spool = Spool(folder, MANY)
    folder.rmdir()
    with pytest.raises(SpoolFull):
        spool.append([b"one"])
    folder.mkdir()
    spool.append([b"two"])
    spool.seal()
    assert _contents(spool) == [b"two"]


def _fill_the_disk(folder: Path, results: "multiprocessing.connection.Connection") -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
    spool = Spool(folder, MANY)
    for line in (b"a" * 30, b"b" * 200, b"c" * 10):
        try:
            spool.append([line])
            results.send("kept")
        except SpoolFull:
            results.send("full")


def test_a_disk_that_fills_up_within_a_row_loses_no_kept_row(tmp_path: Path) -> None:
    """The row that did not fit is refused completely. The rows before and after it are kept."""
    results, sender = multiprocessing.Pipe(duplex=False)
    writer = multiprocessing.get_context("spawn").Process(target=_fill_the_disk, args=(tmp_path, sender))
    writer.start()
    assert [results.recv() for _ in range(3)] == ["kept", "full", "kept"]
    writer.join()
    assert _contents(Spool(tmp_path, MANY)) == [b"a" * 30, b"c" * 10]
