"""A rollout on the stack of this machine: ``pleura up`` follows ``revisions.json`` in its state folder."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from pipelines.rollout.counters import (
    ObservationUnavailable,
    RevisionCounts,
    count_unusable_predictions,
    fetch_metrics,
    read_predictor_counts,
)
from pipelines.rollout.observation import RequestCounts
from pipelines.rollout.target import (
    ModelChange,
    ModelReference,
    TargetRefused,
    TargetUnavailable,
    TrafficStatus,
)
from pleura.bundle import InvalidBundle, verify
from pleura.local.revision_files import (
    InvalidRevisions,
    PredictorRevision,
    RevisionStatus,
    RunningRevision,
    WantedRevisions,
    read_status,
    read_wanted_revisions,
    require_digest,
    write_wanted_revisions,
)
from pleura.local.state_folder import StateFolder

_REQUEST_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class LocalTarget:
    """A rollout target that is the stack with the state folder ``state``."""

    state: Path

    def serving_model(self) -> ModelReference:
        """Read which model the stack serves alone.

        Raises:
            TargetUnavailable: No stack runs, or two models share its traffic.
        """
        status = self._read_status()
        if len(status.revisions) != 1:
            raise TargetUnavailable(f"a rollout is in progress in {self.state}")
        only = status.revisions[0]
        try:
            description, digest = verify(only.bundle)
        except InvalidBundle as error:
            raise TargetUnavailable(str(error)) from error
        return ModelReference(str(only.bundle), digest, description.version)

    def read(self, change: ModelChange) -> TrafficStatus:
        """Read how the stack splits its traffic."""
        status = self._read_status()
        challenger = status.find(change.challenger.digest)
        # Until the stack has read the last request, its status describes the revisions before.
        is_followed = status.wanted == self._read_wanted_digest()
        return TrafficStatus(
            percent=challenger.weight if challenger else 0,
            is_canary_ready=challenger is not None and challenger.phase in ("ready", "moving"),
            canary_revision=challenger.name if challenger else "",
            failure=challenger.reason if challenger and is_followed else "",
            is_promoted=is_followed and _is_alone(status, change.challenger),
            is_rolled_back=is_followed and _is_alone(status, change.champion),
        )

    def require_champion(self, change: ModelChange) -> None:
        """Require that the champion alone is served, and delete the bundles of earlier rollouts."""
        if not _is_alone(self._read_status(), change.champion):
            raise TargetRefused("the stack does not serve the champion alone")
        for folder in (self.state / "revisions").glob("*"):
            if folder.name not in (change.champion.digest, change.challenger.digest):
                shutil.rmtree(folder, ignore_errors=True)

    def shift(self, change: ModelChange, percent: int) -> None:
        """Give the challenger this percent of the traffic."""
        bundles = [(change.champion, 100 - percent), (change.challenger, percent)]
        self._write_wanted(*(self._make_revision(model, weight) for model, weight in bundles))

    def promote(self, change: ModelChange) -> None:
        """Serve the challenger alone."""
        self._write_wanted(self._make_revision(change.challenger, 100))

    def roll_back(self, change: ModelChange) -> None:
        """Serve the champion alone."""
        self._write_wanted(self._make_revision(change.champion, 100))

    def wait(self, seconds: float) -> None:
        """Sleep for so many seconds."""
        time.sleep(seconds)

    def _write_wanted(self, *revisions: PredictorRevision) -> None:
        try:
            write_wanted_revisions(self.state, WantedRevisions(revisions=revisions))
        except OSError as error:
            raise TargetUnavailable(f"{self.state} cannot be written: {error.strerror}") from error

    def _make_revision(self, model: ModelReference, weight: int) -> PredictorRevision:
        folder = self._copy_bundle(model)
        return PredictorRevision(name=model.digest[:12], bundle=folder, digest=model.digest, weight=weight)

    def _copy_bundle(self, model: ModelReference) -> Path:
        """Copy a bundle to the state folder: its source may be gone when the stack starts again."""
        folder = self.state.resolve() / "revisions" / model.digest
        if folder.is_dir():
            return folder
        draft = folder.with_name(f"{model.digest}.new")
        try:
            require_digest(Path(model.uri), model.digest)
            shutil.rmtree(draft, ignore_errors=True)
            shutil.copytree(model.uri, draft)
            # Checked again: the source may change while it is copied.
            require_digest(draft, model.digest)
            draft.rename(folder)
        except InvalidBundle as error:
            raise TargetRefused(str(error)) from error
        except OSError as error:
            raise TargetUnavailable(f"the bundle cannot be copied: {error.strerror}") from error
        return folder

    def _read_wanted_digest(self) -> str:
        try:
            return read_wanted_revisions(self.state)[1]
        except InvalidRevisions as error:
            raise TargetUnavailable(str(error)) from error

    def _read_status(self) -> RevisionStatus:
        record, status = StateFolder(self.state).read(), read_status(self.state)
        if not (record and record.is_running and status):
            raise TargetUnavailable(f"no stack is ready in {self.state}")
        return status


@dataclass(frozen=True)
class LocalCounters:
    """Read the counters of both predictors of a stack, and of its transformer."""

    state: Path
    change: ModelChange

    def read(self) -> RevisionCounts:
        """Read the counters; a revision that does not run has counted nothing.

        Raises:
            ObservationUnavailable: A running revision does not answer.
        """
        record, status = StateFolder(self.state).read(), read_status(self.state)
        if record is None or status is None:
            raise ObservationUnavailable(f"no stack is ready in {self.state}")
        with httpx.Client(timeout=_REQUEST_TIMEOUT_S, trust_env=False) as client:
            canary, stable = (
                _read_counts(client, status.find(model.digest))
                for model in (self.change.challenger, self.change.champion)
            )
            transformer = fetch_metrics(client, record.metrics["transformer"])
        return RevisionCounts(
            canary.with_invalid(count_unusable_predictions(transformer, self.change.challenger.version)),
            stable,
        )


def _read_counts(client: httpx.Client, running: RunningRevision | None) -> RequestCounts:
    if running is None or running.phase in ("starting", "failed"):
        return RequestCounts()
    return read_predictor_counts(fetch_metrics(client, running.metrics))


def _is_alone(status: RevisionStatus, model: ModelReference) -> bool:
    return [(revision.digest, revision.phase) for revision in status.revisions] == [(model.digest, "ready")]
