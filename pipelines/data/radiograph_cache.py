"""A folder on this machine that keeps the files of data sets, so that each is fetched once."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from pipelines.data.manifest import DatasetFile

ReadFile = Callable[[DatasetFile], bytes]


class RadiographCache:
    """A folder that keeps files by their SHA-256, and checks the digest at every read.

    Args:
        folder: Made if it is missing. Processes may share the folder, and anybody may delete it at any time.
        read_file: Fetches a file that the folder lacks, for example ``DatasetStore.read``.
    """

    def __init__(self, folder: Path, read_file: ReadFile) -> None:
        self._folder, self._read_file = folder, read_file

    def read(self, stored: DatasetFile) -> bytes:
        """Read a file from the folder, or fetch the file if the folder lacks it or holds a damaged copy.

        Raises:
            NoSuchObject, ChangedObject, StoreUnavailable: The file cannot be fetched.
        """
        path = self._folder / stored.sha256[:2] / stored.sha256
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            pass
        else:
            if hashlib.sha256(content).hexdigest() == stored.sha256:
                return content
        content = self._read_file(stored)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_atomically(path, content)
        return content


def _write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a name of its own first: several processes may write the same radiograph."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
