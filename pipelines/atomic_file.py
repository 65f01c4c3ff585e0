"""Files that are there as a whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def write_atomically(file: Path) -> Iterator[Path]:
    """Give a draft to write, which takes the file's place once all of it is written."""
    draft = file.with_name(f"draft.{file.name}")
    yield draft
    draft.replace(file)
