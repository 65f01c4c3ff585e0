"""A rollout on the stack of one machine: ``pleura up`` follows ``revisions.json``."""

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
    read_wanted,
    require_digest,
    write_wanted,
)
from pleura.local.state_folder import StateFolder

_ASK_S = 2.0


@dataclass(frozen=True)
class LocalTarget:
    """The stack whose state folder is ``state``."""

    state: Path

    def serving_model(self) -> ModelReference:
        """The model that is served alone.

        Raises:
            TargetUnavailable: No stack runs, or two models share its traffic.
        """
        status = self._status()
        if len(status.revisions) != 1:
            raise TargetUnavailable(f"a rollout is under way in {self.state}")
        only = status.revisions[0]
        try:
            description, digest = verify(only.bundle)
        except InvalidBundle as error:
            raise TargetUnavailable(str(error)) from error
        return ModelReference(str(only.bundle), digest, description.version)

    def read(self, change: ModelChange) -> TrafficStatus:
        """How the stack splits its traffic."""
        status = self._status()
        challenger = status.of(change.challenger.digest)
        is_followed = status.wanted == self._wanted_digest()
        return TrafficStatus(
            percent=challenger.weight if challenger else 0,
            is_canary_ready=challenger is not None and challenger.phase in ("ready", "moving"),
            canary_revision=challenger.name if challenger else "",
            failure=challenger.reason if challenger and is_followed else "",
            is_promoted=is_followed and _is_alone(status, change.challenger),
            is_returned=is_followed and _is_alone(status, change.champion),
        )

    def require_champion(self, change: ModelChange) -> None:
        """Refuse to begin where anything but the champion alone is served."""
        if not _is_alone(self._status(), change.champion):
            raise TargetRefused("what is served is not the champion alone")
        for folder in (self.state / "revisions").glob("*"):  # copies of models of earlier rollouts
            if folder.name not in (change.champion.digest, change.challenger.digest):
                shutil.rmtree(folder, ignore_errors=True)

    def shift(self, change: ModelChange, percent: int) -> None:
        """Have the challenger served with this percent of the traffic."""
        bundles = [(change.champion, 100 - percent), (change.challenger, percent)]
        self._want(*(self._revision(model, weight) for model, weight in bundles))

    def promote(self, change: ModelChange) -> None:
        """Have the challenger served alone."""
        self._want(self._revision(change.challenger, 100))

    def roll_back(self, change: ModelChange) -> None:
        """Have the champion served alone."""
        self._want(self._revision(change.champion, 100))

    def wait(self, seconds: float) -> None:
        """Sleep: the state folder is looked at again soon enough."""
        time.sleep(seconds)

    def _want(self, *revisions: PredictorRevision) -> None:
        try:
            write_wanted(self.state, WantedRevisions(revisions=revisions))
        except OSError as error:
            raise TargetUnavailable(f"{self.state} cannot be written: {error.strerror}") from error

    def _revision(self, model: ModelReference, weight: int) -> PredictorRevision:
        folder = self._kept(model)
        return PredictorRevision(name=model.digest[:12], bundle=folder, digest=model.digest, weight=weight)

    def _kept(self, model: ModelReference) -> Path:
        """The state folder's own copy of a bundle: where it came from may be gone at the next start."""
        folder = self.state.resolve() / "revisions" / model.digest
        if folder.is_dir():
            return folder
        new = folder.with_name(f"{model.digest}.new")
        try:
            require_digest(Path(model.uri), model.digest)
            shutil.rmtree(new, ignore_errors=True)
            shutil.copytree(model.uri, new)
            require_digest(new, model.digest)
            new.rename(folder)
        except InvalidBundle as error:
            raise TargetRefused(str(error)) from error
        except OSError as error:
            raise TargetUnavailable(f"the bundle cannot be copied: {error.strerror}") from error
        return folder

    def _wanted_digest(self) -> str:
        try:
            return read_wanted(self.state)[1]
        except InvalidRevisions as error:
            raise TargetUnavailable(str(error)) from error

    def _status(self) -> RevisionStatus:
        recorded, status = StateFolder(self.state).read(), read_status(self.state)
        if not (recorded and recorded.is_running and status):
            raise TargetUnavailable(f"no stack is ready in {self.state}")
        return status


@dataclass(frozen=True)
class LocalCounters:
    """The counters of both predictors of a stack, and of its transformer."""

    state: Path
    change: ModelChange

    def read(self) -> RevisionCounts:
        """Fetch them; a revision that does not run has counted nothing.

        Raises:
            Unseen: One that runs does not answer.
        """
        recorded, status = StateFolder(self.state).read(), read_status(self.state)
        if recorded is None or status is None:
            raise ObservationUnavailable(f"no stack is ready in {self.state}")
        with httpx.Client(timeout=_ASK_S, trust_env=False) as client:
            canary, stable = (
                _counted(client, status.of(model.digest))
                for model in (self.change.challenger, self.change.champion)
            )
            transformer = fetch_metrics(client, recorded.metrics["transformer"])
        return RevisionCounts(
            canary.with_invalid(count_unusable_predictions(transformer, self.change.challenger.version)),
            stable,
        )


def _counted(client: httpx.Client, running: RunningRevision | None) -> RequestCounts:
    if running is None or running.phase in ("starting", "failed"):
        return RequestCounts()
    return read_predictor_counts(fetch_metrics(client, running.metrics))


def _is_alone(status: RevisionStatus, model: ModelReference) -> bool:
    return [(each.digest, each.phase) for each in status.revisions] == [(model.digest, "ready")]
