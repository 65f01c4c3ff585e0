"""Keeps answers on the local disk while PostgreSQL is down. They are durable when ``append`` returns.

A segment is a file of lines, each with a checksum. The process that writes a segment holds its lock. When
the writer has sealed the segment or has died, another process can get the lock, replay the segment and delete
it.
"""

import contextlib
import fcntl
import os
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import BinaryIO, Final

from pleura.errors import Unavailable

_SUFFIX: Final = ".spool"


class SpoolFull(Unavailable):
    """Neither PostgreSQL nor the local disk can keep the answer, so the answer is not sent."""

    code = "journal_unavailable"


def _write_line(content: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(content), content)


def _read_line(line: bytes) -> bytes | None:
    checksum, _, content = line.partition(b" ")
    return content if checksum == b"%08x" % zlib.crc32(content) else None


class SpoolSegment:
    """A segment that no process writes to. This process holds its lock until the ``with`` ends."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file

    def __enter__(self) -> "SpoolSegment":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self) -> tuple[list[bytes], int]:
        """Give the intact contents, and the number of damaged lines. A cut last line counts as neither."""
        whole, _, _torn = self._file.read().rpartition(b"\n")
        contents = [_read_line(line) for line in whole.split(b"\n") if line]
        good = [content for content in contents if content is not None]
        return good, len(contents) - len(good)

    def delete(self) -> None:
        """Delete the segment, whose rows are in the journal."""
        self._path.unlink(missing_ok=True)

    def set_aside(self) -> Path:
        """Rename a segment that cannot be replayed, so that an operator can examine it."""
        return self._path.rename(self._path.with_suffix(".damaged"))


class Spool:
    """The spool of one folder, which several processes may share."""

    def __init__(self, folder: Path, max_bytes: int, rows_per_segment: int = 1000) -> None:
        self._folder, self._max_bytes, self._rows_per_segment = folder, max_bytes, rows_per_segment
        self._lock = Lock()
        self._active: BinaryIO | None = None
        self._rows = self._end = 0
        self._counted: dict[str, tuple[int, int]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def append(self, contents: Sequence[bytes]) -> None:
        """Keep contents durably, one line each.

        Raises:
            SpoolFull: The disk is full or fails, or the spool has reached its limit. Nothing was kept.
        """
        lines = b"".join(_write_line(content) for content in contents)
        with self._lock:
            try:
                if self._size() + len(lines) > self._max_bytes:
                    raise SpoolFull("the answer cannot be kept: the spool is full")
                self._write(lines)
            except OSError as error:
                self._undo_write()
                raise SpoolFull("the answer cannot be kept: the spool's disk fails") from error
            self._rows += len(contents)
            if self._rows >= self._rows_per_segment:
                self._close_active()

    def seal(self) -> None:
        """Close the active segment, so that it can be replayed."""
        with self._lock:
            self._close_active()

    def segments(self) -> Iterator[SpoolSegment]:
        """Give the segments that no process writes to, oldest first."""
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            try:
                file = path.open("rb")
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # another process may have replayed and deleted it before we had the lock
                is_there = os.fstat(file.fileno()).st_nlink > 0
            except BlockingIOError:
                is_there = False
            if is_there:
                yield SpoolSegment(path, file)
            else:
                file.close()

    def is_empty(self) -> bool:
        """Tell whether no rows wait to be replayed."""
        return next(self._folder.glob(f"*{_SUFFIX}"), None) is None

    def backlog(self) -> tuple[int, int]:
        """Count the rows and bytes that wait to be replayed, in the segments of all processes."""
        sizes: dict[str, tuple[int, int]] = {}
        for path in self._folder.glob(f"*{_SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):  # replayed and deleted meanwhile
                size = path.stat().st_size
                counted = self._counted.get(path.name)
                is_unchanged = counted is not None and counted[1] == size
                rows = counted[0] if counted and is_unchanged else path.read_bytes().count(b"\n")
                sizes[path.name] = rows, size
        self._counted = sizes
        return sum(count for count, _ in sizes.values()), sum(size for _, size in sizes.values())

    def _size(self) -> int:
        size = 0
        with os.scandir(self._folder) as files:
            for file in files:
                with contextlib.suppress(FileNotFoundError):  # replayed and deleted meanwhile
                    size += 0 if file.name.startswith(".") else file.stat().st_size
        return size

    def _write(self, lines: bytes) -> None:
        if self._active is None:
            self._open_active()
        assert self._active is not None
        rest = memoryview(lines)
        while rest:  # a disk that fills up writes a part, and fails only on the next write
            rest = rest[self._active.write(rest) :]
        os.fsync(self._active.fileno())
        self._end += len(lines)

    def _open_active(self) -> None:
        name = f"{time.time_ns():020d}-{os.getpid()}{_SUFFIX}"
        hidden = self._folder / f".{name}"
        # locked before it gets its final name: another process could take it for an abandoned segment
        active = hidden.open("xb", buffering=0)  # a buffer would write its rest after a failure
        fcntl.flock(active, fcntl.LOCK_EX)
        hidden.rename(self._folder / name)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            # without this, a power failure may lose the name of the file although its content is on the disk
            os.fsync(folder)
        finally:
            os.close(folder)
        self._active, self._rows, self._end = active, 0, 0

    def _undo_write(self) -> None:
        """After a failed write, remove the half-written line and start a new segment."""
        active, self._active = self._active, None
        if active is None:
            return
        try:
            os.ftruncate(active.fileno(), self._end)
        except OSError:
            pass  # the reader recognises the line by its checksum or its missing end
        finally:
            active.close()

    def _close_active(self) -> None:
        if self._active:
            self._active.close()
            self._active = None
