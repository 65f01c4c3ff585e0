"""What the spool has taken is there after anything but the loss of the disk."""

import multiprocessing
import multiprocessing.connection
import os
import resource
import signal
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
            found += segment.read()[0]
    return found


@given(st.lists(st.binary(max_size=50).filter(lambda line: b"\n" not in line), min_size=1))
def test_what_goes_in_comes_out(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    """Contents come back whole and in order."""
    spool = Spool(tmp_path_factory.mktemp("spool"), MANY, rows_per_segment=3)
    for line in lines:
        spool.append([line])
    spool.seal()
    assert _contents(spool) == lines


def test_the_active_segment_is_not_replayed(tmp_path: Path) -> None:
    """Nobody takes a segment that is still written to, in this process or another."""
    spool = Spool(tmp_path, MANY)
    spool.append([b"one"])
    assert _contents(spool) == _contents(Spool(tmp_path, MANY)) == []
    spool.seal()
    assert _contents(Spool(tmp_path, MANY)) == [b"one"]


def test_a_deleted_segment_is_gone(tmp_path: Path) -> None:
    """The spool is empty once its segments are deleted."""
    spool = Spool(tmp_path, MANY)
    spool.append([b"one"])
    spool.seal()
    assert not spool.is_empty()
    for segment in spool.segments():
        with segment:
            segment.delete()
    assert spool.is_empty()


def test_the_backlog_counts_all_segments(tmp_path: Path) -> None:
    """Rows and bytes of what waits, written by whichever process; none once it is replayed."""
    spool, other = Spool(tmp_path, MANY, rows_per_segment=2), Spool(tmp_path, MANY)
    assert spool.backlog() == (0, 0)
    for line in (b"one", b"two", b"three"):
        spool.append([line])
    other.append([b"four", b"five"])
    assert spool.backlog() == (5, sum(path.stat().st_size for path in tmp_path.iterdir()))
    spool.append([b"six"])
    assert spool.backlog()[0] == 6
    for each in (spool, other):
        each.seal()
    for segment in spool.segments():
        with segment:
            segment.delete()
    assert spool.backlog() == (0, 0)


def _write_and_die(folder: Path) -> None:
    spool = Spool(folder, MANY)
    spool.append([b"one", b"two"])
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_writer_leaves_its_rows(tmp_path: Path) -> None:
    """What was appended before a kill -9 may be replayed by another process at once."""
    writer = multiprocessing.get_context("spawn").Process(target=_write_and_die, args=(tmp_path,))
    writer.start()
    writer.join()
    assert _contents(Spool(tmp_path, MANY)) == [b"one", b"two"]


def _only_segment(folder: Path) -> Path:
    (path,) = folder.glob("*.spool")
    return path


@pytest.mark.parametrize("cut", [1, 5, 12])
def test_a_torn_tail_costs_only_itself(tmp_path: Path, cut: int) -> None:
    """A last line that was not wholly written is ignored; it was never acknowledged."""
    spool = Spool(tmp_path, MANY)
    spool.append([b"one", b"two"])
    spool.seal()
    path = _only_segment(tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])
    for segment in spool.segments():
        with segment:
            assert segment.read() == ([b"one"], 0)


def test_a_damaged_line_is_counted_and_the_others_read(tmp_path: Path) -> None:
    """Damage in the middle is seen, and costs only its line."""
    spool = Spool(tmp_path, MANY)
    spool.append([b"one", b"two", b"three"])
    spool.seal()
    path = _only_segment(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"two", b"twO"))
    for segment in spool.segments():
        with segment:
            assert segment.read() == ([b"one", b"three"], 1)


def test_a_full_spool_says_so_and_keeps_what_it_has(tmp_path: Path) -> None:
    """Beyond its bound nothing is taken, not even in part, and the rest stays readable."""
    spool = Spool(tmp_path, 60)
    spool.append([b"x" * 20])
    with pytest.raises(SpoolFull):
        spool.append([b"y" * 20, b"z" * 20])
    spool.append([b"small"])
    spool.seal()
    assert _contents(spool) == [b"x" * 20, b"small"]


def test_a_folder_that_goes_away_is_a_full_spool(tmp_path: Path) -> None:
    """A disk that does not take a row is an error of ours, not a lost row."""
    folder = tmp_path / "spool"
    spool = Spool(folder, MANY)
    folder.rmdir()
    with pytest.raises(SpoolFull):
        spool.append([b"one"])
    folder.mkdir()
    spool.append([b"two"])
    spool.seal()
    assert _contents(spool) == [b"two"]


def _fill_the_disk(folder: Path, told: "multiprocessing.connection.Connection") -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
    spool = Spool(folder, MANY)
    for line in (b"a" * 30, b"b" * 200, b"c" * 10):
        try:
            spool.append([line])
            told.send("kept")
        except SpoolFull:
            told.send("full")


def test_a_disk_that_fills_up_within_a_row_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    """The row that did not fit is refused and leaves no trace; rows before and after it are there."""
    told, tells = multiprocessing.Pipe(duplex=False)
    writer = multiprocessing.get_context("spawn").Process(target=_fill_the_disk, args=(tmp_path, tells))
    writer.start()
    assert [told.recv() for _ in range(3)] == ["kept", "full", "kept"]
    writer.join()
    assert _contents(Spool(tmp_path, MANY)) == [b"a" * 30, b"c" * 10]
