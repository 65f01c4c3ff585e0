"""The ledger of a rollout: one process at a time may advance its state, and any process can resume it."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Ledger(Protocol):
    """One document; only a process that has read its last version can replace it."""

    def read(self) -> bytes | None:
        """Read the document; None if there is none yet."""

    def swap(self, old: bytes | None, new: bytes) -> bool:
        """Replace the document; False if it is no longer ``old``."""


@dataclass(frozen=True)
class FileLedger:
    """A ledger in a file of this machine."""

    path: Path

    def read(self) -> bytes | None:
        """Read the file; None if there is none yet."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return None

    def swap(self, old: bytes | None, new: bytes) -> bool:
        """Replace the file, and flush it to the disk."""
        with self._lock():
            if self.read() != old:
                return False
            draft = self.path.with_name(f"{self.path.name}.new")
            with draft.open("wb") as file:
                file.write(new)
                file.flush()
                # Before the rename: a power cut could otherwise leave an empty ledger.
                os.fsync(file.fileno())
            draft.replace(self.path)
            return True

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        # Not a lock on the document: a swap replaces that file, and the lock would stay with the old one.
        with self.path.with_name(f"{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
