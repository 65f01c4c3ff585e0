"""How far a rollout is: the document of its ledger, and what is reported of it in the end."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol

from pipelines.rollout.counters import RevisionCounts
from pipelines.rollout.ledger import Ledger
from pipelines.rollout.observation import Observation
from pipelines.rollout.plan import RolloutPlan
from pipelines.rollout.target import ModelChange, RolloutTarget
from pipelines.value import Value

Result = Literal["promoted", "rolled_back", "refused", "stuck"]
Phase = Literal["checking", "starting", "watching", "promoting", "returning", "ended"]


class RolloutEvent(Value):
    """Something that happened, at which share of the traffic."""

    at: datetime
    percent: int
    what: str


class RolloutOutcome(Value):
    """How a rollout ended.

    ``refused``: nothing was changed. ``stuck``: it was to be rolled back, and the target does not confirm it.
    """

    result: Result
    reason: str
    history: tuple[RolloutEvent, ...]


class RolloutState(Value):
    """Everything that another process needs to go on; ``beat`` grows with each look."""

    holder: str
    beat: int
    change: ModelChange
    run: str = ""
    """The pipeline run that asked for this rollout."""
    phase: Phase
    since: datetime
    """Begin of the phase; of a step, since its share of the traffic was reached."""
    step: int = 0
    first: RevisionCounts | None = None
    """The counters before the canary had any traffic."""
    before: RevisionCounts | None = None
    """The counters at the begin of the step; None until its share is reached."""
    observed: tuple[Observation, ...] = ()
    """The steps that are done."""
    unready_since: datetime | None = None
    blind_since: datetime | None = None
    result: Result | None = None
    reason: str = ""
    history: tuple[RolloutEvent, ...] = ()

    @property
    def outcome(self) -> RolloutOutcome:
        """What is reported; to be asked of a rollout that has ended."""
        assert self.result
        return RolloutOutcome(result=self.result, reason=self.reason, history=self.history)


class ObservationSource(Protocol):
    """What a rollout sees of both revisions; both methods raise ``Unseen``."""

    def count(self) -> RevisionCounts: ...
    def observe(self, since: datetime, before: RevisionCounts) -> Observation: ...


@dataclass(frozen=True)
class RolloutParts:
    """What a rollout works with; ``holder`` names this process among all that may ever hold the ledger."""

    target: RolloutTarget
    watcher: ObservationSource
    ledger: Ledger
    plan: RolloutPlan
    holder: str


def utc_now() -> datetime:
    """The time that the journal's clock shows too."""
    return datetime.now(UTC)
