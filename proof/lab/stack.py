"""Run a whole stack for one campaign."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from proof.lab.running_stack import RunningStack, start_stack

SYNTHETIC_PICTURES: Final = {
    "PLEURA_REFUSAL_POLICY": "not_chest=allow,orientation=allow,inverted=allow,untypical=allow"
}
"""The settings for campaigns: most of their pictures show no chest, and the input check would refuse them."""


@contextmanager
def running_stack(
    bundle: Path, *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[RunningStack]:
    """Run a stack in a temporary folder. ``environment`` holds settings of its services."""
    with tempfile.TemporaryDirectory(prefix="pleura-proof-") as folder:
        settings = SYNTHETIC_PICTURES | dict(environment or {})
        stack = start_stack(Path(folder), bundle.resolve(), *options, environment=settings)
        try:
            yield stack
        finally:
            stack.stop()
