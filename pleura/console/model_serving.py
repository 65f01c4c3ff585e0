"""What a running stack serves follows a rollback in the registry, at once and without steps."""

import time
from pathlib import Path
from typing import Final

from pipelines.registry.bundle_store import BundleStore
from pipelines.registry.registration import ModelVersion
from pipelines.rollout.local import LocalTarget
from pipelines.rollout.target import ModelChange, ModelReference, TargetUnavailable
from pleura.local.state_folder import StateFolder

_SERVED_WITHIN_S: Final = 180.0


def serve(state: Path, store: BundleStore, version: ModelVersion) -> bool:
    """Have the stack of a state folder serve a version alone, and wait until it does.

    Returns:
        Whether a stack runs there at all.

    Raises:
        NotStored, InvalidBundle, StoreUnavailable: The bundle is not in S3 as it was sealed.
        TargetUnavailable: A rollout is under way, or the stack does not follow in time.
    """
    recorded = StateFolder(state).read()
    if recorded is None or not recorded.is_running:
        return False
    target = LocalTarget(state)
    serving = target.serving_model()
    if serving.digest == version.digest:
        return True
    bundle = state / "pipelines" / "bundles" / version.digest
    description = store.download(version.digest, bundle)
    change = ModelChange(serving, ModelReference(str(bundle), version.digest, description.version))
    target.promote(change)
    end_s = time.monotonic() + _SERVED_WITHIN_S
    while not (now := target.read(change)).is_promoted:
        if now.failure or time.monotonic() > end_s:
            raise TargetUnavailable(f"version {version.number} is not served: {now.failure or 'no answer'}")
        target.wait(0.5)
    return True
