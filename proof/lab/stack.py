"""Run a whole stack for one campaign."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from proof.lab.running_stack import RunningStack, start_stack


@contextmanager
def running_stack(
    bundle: Path, *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[RunningStack]:
    """Run a stack in a temporary folder. ``environment`` holds settings of its services."""
    with tempfile.TemporaryDirectory(prefix="pleura-proof-") as folder:
        stack = start_stack(Path(folder), bundle.resolve(), *options, environment=environment)
        try:
            yield stack
        finally:
            stack.stop()
