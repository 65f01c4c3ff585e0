"""Where a rollout writes down how far it is, so that another process can go on, and no two do at once."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Ledger(Protocol):
    """One document, replaced only by who has read its last version."""

    def read(self) -> bytes | None:
        """The document; None where there is none yet."""

    def swap(self, old: bytes | None, new: bytes) -> bool:
        """Replace the document; False where it is not ``old`` any more."""


@dataclass(frozen=True)
class FileLedger:
    """A file on one machine."""

    path: Path

    def read(self) -> bytes | None:
        """The file's content."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None

    def swap(self, old: bytes | None, new: bytes) -> bool:
        """Replace the file, durably."""
        with self._locked():
            if self.read() != old:
                return False
            written = self.path.with_name(f"{self.path.name}.new")
            with written.open("wb") as file:
                file.write(new)
                file.flush()
                os.fsync(file.fileno())
            written.replace(self.path)
            return True

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self.path.with_name(f"{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
