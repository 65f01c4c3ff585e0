"""One segment of the spool: a file of lines with checksums, and the file of its rows that were set aside."""

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

SET_ASIDE: Final = ".damaged"
_REPAIRED: Final = b"--------"
"""What an operator who has repaired a line that was set aside writes in place of its checksum."""
_PRIVATE: Final = 0o600


@dataclass(frozen=True)
class SpoolLine:
    """One line of a segment, and its content; None where the checksum is wrong."""

    raw: bytes
    content: bytes | None


def write_line(content: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(content), content)


def _read_line(raw: bytes, may_be_repaired: bool) -> SpoolLine:
    checksum, _, content = raw.partition(b" ")
    is_intact = checksum == b"%08x" % zlib.crc32(content) or (may_be_repaired and checksum == _REPAIRED)
    return SpoolLine(raw, content if is_intact else None)


class SpoolSegment:
    """A segment that no process writes to. This process holds its lock until the ``with`` ends."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self.tried_ns = os.fstat(file.fileno()).st_mtime_ns
        """Modification time of the content that was tried."""

    def __enter__(self) -> "SpoolSegment":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def name_set_aside(self) -> str:
        """Name of the file that keeps the lines which cannot be replayed."""
        return self._path.with_suffix(SET_ASIDE).name

    def read(self) -> list[SpoolLine]:
        """Give the lines. A cut last line is not one of them: its row was never acknowledged."""
        is_set_aside = self._path.suffix == SET_ASIDE
        whole, _, torn = self._file.read().rpartition(b"\n")
        # an operator's editor may leave out the last end of line
        lines = [*whole.split(b"\n"), torn] if is_set_aside else whole.split(b"\n")
        return [_read_line(line, is_set_aside) for line in lines if line]

    def finish(self, left: Sequence[SpoolLine]) -> None:
        """Delete the segment, whose rows are in the journal, and set aside the lines that are left."""
        target = self._path.with_suffix(SET_ASIDE)
        if self._path == target and not self._is_unchanged():
            return  # somebody has repaired it meanwhile, and it is tried again
        if left:
            self.tried_ns = _replace_durably(target, b"".join(line.raw + b"\n" for line in left))
        if self._path != target or not left:
            self._path.unlink(missing_ok=True)

    def _is_unchanged(self) -> bool:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return False
        ours = os.fstat(self._file.fileno())
        same_file = (status.st_ino, status.st_mtime_ns) == (ours.st_ino, ours.st_mtime_ns)
        return same_file and status.st_size == self._file.tell()


def create_private(path: Path) -> BinaryIO:
    """Create a file for its owner only. It has no buffer, which would write its rest after a failure."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE), "wb", buffering=0)


def _replace_durably(path: Path, content: bytes) -> int:
    """Replace a file durably, and give its modification time."""
    new = path.with_name(f".{path.name}")
    new.unlink(missing_ok=True)  # of a process that was killed here
    with create_private(new) as file:
        rest = memoryview(content)
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())
        modified_ns = os.fstat(file.fileno()).st_mtime_ns
    new.replace(path)
    sync_folder(path.parent)
    return modified_ns


def sync_folder(folder: Path) -> None:
    """Without this, a power failure may lose the name of a file although its content is on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
