"""A process that registers a model, tries to promote it against no champion, and moves the challenger."""

import sys
import time

from pipelines.registry.audit_trail import StaleView
from pipelines.registry.mlflow_client import connect_mlflow
from pipelines.registry.registry import Registry
from tests.support.pipelines.models import WHY, decided, new_store, registration

_TURNS = 8
_TIMEOUT_S = 60.0


def _move_challenger(registry: Registry, number: int) -> bool:
    """Move the challenger; say whether the move was written."""
    try:
        registry.trail().append(registry.moves(), "challenge", number, WHY)
    except StaleView:
        return False
    registry.settle()
    return True


def main() -> None:
    """Print how the promotion ended, and how many moves of the challenger were written."""
    uri, url, bucket, digest = sys.argv[1:]
    registry = Registry(connect_mlflow(uri), new_store(url, bucket))
    decision = decided(registry.store, digest, None)
    number = registry.register(registration(digest, decision)).number
    end_s = time.monotonic() + _TIMEOUT_S
    while (
        len(registry.versions()) < 2 and time.monotonic() < end_s
    ):  # until the rival has registered its model
        time.sleep(0.01)
    try:
        registry.promote(number, WHY, expected_champion=None)
        outcome = "promoted"
    except StaleView:
        outcome = "stale"
    written = sum(_move_challenger(registry, number) for _ in range(_TURNS))
    sys.stdout.write(f"{outcome} {written}\n")


if __name__ == "__main__":
    main()
