"""Have the local stack serve a version at once, for a rollback."""

import time
from pathlib import Path
from typing import Final

from pipelines.registry.bundle_store import BundleStore
from pipelines.registry.registration import ModelVersion
from pipelines.rollout.local import LocalTarget
from pipelines.rollout.target import ModelChange, ModelReference, TargetUnavailable
from pleura.local.state_folder import StateFolder

_TIMEOUT_S: Final = 180.0


def serve_version(state: Path, store: BundleStore, version: ModelVersion) -> bool:
    """Have the local stack send all traffic to a version, and wait until it does.

    Returns:
        False where no stack runs.

    Raises:
        NotStored, InvalidBundle, StoreUnavailable: S3 does not hold the sealed bundle.
        TargetUnavailable: A rollout is under way, or the stack does not follow in time.
    """
    record = StateFolder(state).read()
    if record is None or not record.is_running:
        return False
    target = LocalTarget(state)
    serving = target.serving_model()
    if serving.digest == version.digest:
        return True
    bundle = state / "pipelines" / "bundles" / version.digest
    description = store.download(version.digest, bundle)
    change = ModelChange(serving, ModelReference(str(bundle), version.digest, description.version))
    target.promote(change)
    end_s = time.monotonic() + _TIMEOUT_S
    while not (progress := target.read(change)).is_promoted:
        if progress.failure or time.monotonic() > end_s:
            reason = progress.failure or "no answer"
            raise TargetUnavailable(f"version {version.number} is not served: {reason}")
        target.wait(0.5)
    return True
