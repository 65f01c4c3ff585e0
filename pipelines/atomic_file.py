"""Write files that are complete or absent, even if the process is killed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def write_atomically(file: Path) -> Iterator[Path]:
    """Yield the path of a draft, and rename the draft to the file when the block ends without an error."""
    # In the same folder, because a rename is atomic within one file system only.
    draft = file.with_name(f"draft.{file.name}")
    yield draft
    draft.replace(file)
