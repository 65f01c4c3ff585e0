"""Keeps answers on the local disk while PostgreSQL is down. They are durable when ``append`` returns.

A segment is a file of lines, each with a checksum. The process that writes a segment holds its lock. When
the writer has sealed the segment or has died, another process can get the lock, replay the segment and delete
it. Rows that cannot be replayed are set aside in a file of their own, which ends with ``.damaged``.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Final

from pleura.errors import Unavailable
from transformer.journal.spool_segment import SET_ASIDE, SpoolSegment, create_private, sync_folder, write_line

_SUFFIX: Final = ".spool"
_RETRY_S: Final = 3600.0
_CLOSED: Final = 0o700


class SpoolFull(Unavailable):
    """Neither PostgreSQL nor the local disk can keep the answer, so the answer is not sent."""

    code = "journal_unavailable"


class Spool:
    """The spool of one folder, which several processes may share."""

    def __init__(self, folder: Path, max_bytes: int, rows_per_segment: int = 1000) -> None:
        self.folder, self._max_bytes, self._rows_per_segment = folder, max_bytes, rows_per_segment
        self._lock = Lock()
        self._active: BinaryIO | None = None
        self._rows = self._end = 0
        self._counted: dict[str, tuple[int, int]] = {}
        self._tried: dict[str, tuple[int, float]] = {}
        folder.mkdir(_CLOSED, parents=True, exist_ok=True)

    def append(self, contents: Sequence[bytes]) -> None:
        """Keep contents durably, one line each.

        Raises:
            SpoolFull: The disk is full or fails, or the spool has reached its limit. Nothing was kept.
        """
        lines = b"".join(write_line(content) for content in contents)
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
        return self._lock_each(self.folder.glob(f"*{_SUFFIX}"))

    def segments_to_retry(self) -> Iterator[SpoolSegment]:
        """Give the files of rows that were set aside, if they are new, changed, or were tried an hour ago."""
        return self._lock_each(filter(self._is_due, self.folder.glob(f"*{SET_ASIDE}")))

    def _is_due(self, path: Path) -> bool:
        changed_ns, tried_s = self._tried.get(path.name, (0, 0.0))
        with contextlib.suppress(FileNotFoundError):
            return path.stat().st_mtime_ns != changed_ns or time.monotonic() - tried_s > _RETRY_S
        return False

    def _lock_each(self, paths: Iterable[Path]) -> Iterator[SpoolSegment]:
        for path in sorted(paths):
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
                segment = SpoolSegment(path, file)
                yield segment
                if (self.folder / segment.name_set_aside).exists():
                    self._tried[segment.name_set_aside] = segment.tried_ns, time.monotonic()
            else:
                file.close()

    def is_empty(self) -> bool:
        """Tell whether no rows wait to be replayed."""
        return next(self.folder.glob(f"*{_SUFFIX}"), None) is None

    def backlog(self) -> tuple[int, int]:
        """Count the rows and bytes that wait to be replayed, in the segments of all processes."""
        counts = self._count(_SUFFIX)
        return sum(rows for rows, _ in counts), sum(size for _, size in counts)

    def count_set_aside(self) -> int:
        """Count the rows that were set aside."""
        return sum(rows for rows, _ in self._count(SET_ASIDE))

    def _count(self, suffix: str) -> Collection[tuple[int, int]]:
        """Give the rows and bytes of each file that ends with ``suffix``. Only changed files are read."""
        sizes: dict[str, tuple[int, int]] = {}
        for path in self.folder.glob(f"*{suffix}"):
            with contextlib.suppress(FileNotFoundError):  # replayed and deleted meanwhile
                size = path.stat().st_size
                counted = self._counted.get(path.name)
                is_unchanged = counted is not None and counted[1] == size
                rows = counted[0] if counted and is_unchanged else path.read_bytes().count(b"\n")
                sizes[path.name] = rows, size
        others = {name: count for name, count in self._counted.items() if not name.endswith(suffix)}
        self._counted = {**others, **sizes}
        return sizes.values()

    def _size(self) -> int:
        size = 0
        with os.scandir(self.folder) as files:
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
        hidden = self.folder / f".{name}"
        # locked before it gets its final name: another process could take it for an abandoned segment
        active = create_private(hidden)
        fcntl.flock(active, fcntl.LOCK_EX)
        hidden.rename(self.folder / name)
        sync_folder(self.folder)
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
