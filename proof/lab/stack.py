"""A whole stack for one campaign."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from proof.lab.running_stack import RunningStack, start_stack


@contextmanager
def running_stack(
    bundle: Path, *more: str, environment: Mapping[str, str] | None = None
) -> Iterator[RunningStack]:
    """A stack of its own, until the end; ``environment`` tells it settings of the services."""
    with tempfile.TemporaryDirectory(prefix="pleura-proof-") as folder:
        stack = start_stack(Path(folder), bundle.resolve(), *more, environment=environment)
        try:
            yield stack
        finally:
            stack.stop()
