"""Answers kept on the local disk while PostgreSQL is away: durable when ``append`` returns.

A segment is a file of lines, each with its checksum, locked by the process that writes it. Whoever gets the
lock (the writer after it sealed the segment, or any process after the writer died) may replay and delete it.
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
    """Neither PostgreSQL nor the local disk can keep the answer, so it is not given."""

    code = "journal_unavailable"


def _line_of(content: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(content), content)


def _content_of(line: bytes) -> bytes | None:
    checksum, _, content = line.partition(b" ")
    return content if checksum == b"%08x" % zlib.crc32(content) else None


class SpoolSegment:
    """A segment that nobody writes to, held by this process until the ``with`` ends."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file

    def __enter__(self) -> "SpoolSegment":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self) -> tuple[list[bytes], int]:
        """Give the contents that are whole, and how many lines are damaged; a torn last line is neither."""
        whole, _, _torn = self._file.read().rpartition(b"\n")
        contents = [_content_of(line) for line in whole.split(b"\n") if line]
        good = [content for content in contents if content is not None]
        return good, len(contents) - len(good)

    def delete(self) -> None:
        """Delete it; its rows are in the journal."""
        self._path.unlink(missing_ok=True)

    def set_aside(self) -> Path:
        """Keep what cannot be replayed under another name, for people to look into."""
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
        """Keep contents (one line each) durably.

        Raises:
            SpoolFull: The disk or the spool's own bound is full, or the disk fails; nothing was kept.
        """
        lines = b"".join(_line_of(content) for content in contents)
        with self._lock:
            try:
                if self._size() + len(lines) > self._max_bytes:
                    raise SpoolFull("the answer cannot be kept: the spool is full")
                self._write(lines)
            except OSError as error:
                self._take_back()
                raise SpoolFull("the answer cannot be kept: the spool's disk does not take it") from error
            self._rows += len(contents)
            if self._rows >= self._rows_per_segment:
                self._close_active()

    def seal(self) -> None:
        """End the active segment, so that it may be replayed."""
        with self._lock:
            self._close_active()

    def segments(self) -> Iterator[SpoolSegment]:
        """Give the segments that nobody writes to, oldest first."""
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            try:
                file = path.open("rb")
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_there = os.fstat(file.fileno()).st_nlink > 0
            except BlockingIOError:
                is_there = False
            if is_there:
                yield SpoolSegment(path, file)
            else:
                file.close()

    def is_empty(self) -> bool:
        """Whether nothing waits to be replayed."""
        return next(self._folder.glob(f"*{_SUFFIX}"), None) is None

    def backlog(self) -> tuple[int, int]:
        """Count what waits to be replayed, in all processes' segments: rows and bytes."""
        sizes: dict[str, tuple[int, int]] = {}
        for path in self._folder.glob(f"*{_SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):  # replayed and deleted meanwhile
                size = path.stat().st_size
                known = self._counted.get(path.name)
                is_known = known is not None and known[1] == size
                sizes[path.name] = known if known and is_known else (path.read_bytes().count(b"\n"), size)
        self._counted = sizes
        return sum(rows for rows, _ in sizes.values()), sum(size for _, size in sizes.values())

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
        while rest:  # a disk that fills up takes a part, and fails only when asked again
            rest = rest[self._active.write(rest) :]
        os.fsync(self._active.fileno())
        self._end += len(lines)

    def _open_active(self) -> None:
        name = f"{time.time_ns():020d}-{os.getpid()}{_SUFFIX}"
        hidden = self._folder / f".{name}"
        # locked before it has its name, lest another process takes it for one left behind
        active = hidden.open("xb", buffering=0)
        fcntl.flock(active, fcntl.LOCK_EX)
        hidden.rename(self._folder / name)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._active, self._rows, self._end = active, 0, 0

    def _take_back(self) -> None:
        """After a failed write: cut off what may stand half written, and begin anew."""
        active, self._active = self._active, None
        if active is None:
            return
        try:
            os.ftruncate(active.fileno(), self._end)
        except OSError:
            pass  # the line's checksum, or its missing end, will tell
        finally:
            active.close()

    def _close_active(self) -> None:
        if self._active:
            self._active.close()
            self._active = None
