"""The state of a rollout, which is the document of its ledger, and the outcome that is reported at the end.

The names of the fields and phases are stored: a rollout that began before an upgrade goes on after it.
"""

import os
import secrets
import socket
from dataclasses import dataclass, field
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
"""``returning``: the traffic is being rolled back to the champion."""


class RolloutEvent(Value):
    """What happened, and at which percentage of the traffic."""

    at: datetime
    percent: int
    what: str


class RolloutOutcome(Value):
    """How a rollout ended.

    ``refused``: nothing was changed. ``stuck``: the target does not confirm the rollback.
    """

    result: Result
    reason: str
    history: tuple[RolloutEvent, ...]


class RolloutState(Value):
    """Everything that another process needs to resume the rollout; ``beat`` grows with each write."""

    holder: str
    beat: int
    change: ModelChange
    run: str = ""
    """Name of the pipeline run that started this rollout."""
    phase: Phase
    since: datetime
    """Start of the phase. In ``watching``: when the canary reached its share of the current step."""
    step: int = 0
    first: RevisionCounts | None = None
    """The counters before the canary had any traffic."""
    before: RevisionCounts | None = None
    """The counters at the start of the step; None until the canary has its share."""
    observed: tuple[Observation, ...] = ()
    """The finished steps."""
    unready_since: datetime | None = None
    blind_since: datetime | None = None
    result: Result | None = None
    reason: str = ""
    history: tuple[RolloutEvent, ...] = ()

    @property
    def outcome(self) -> RolloutOutcome:
        """The outcome of a rollout that has ended."""
        assert self.result
        return RolloutOutcome(result=self.result, reason=self.reason, history=self.history)


class ObservationSource(Protocol):
    """Where a rollout observes both revisions; both methods raise ``ObservationUnavailable``."""

    def count(self) -> RevisionCounts: ...
    def observe(self, since: datetime, before: RevisionCounts) -> Observation: ...


def name_lease_holder() -> str:
    """Name this process, uniquely among all processes that may ever hold the lease."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


@dataclass(frozen=True)
class RolloutParts:
    """What a rollout works with; ``holder`` names the process in the ledger."""

    target: RolloutTarget
    observations: ObservationSource
    ledger: Ledger
    plan: RolloutPlan
    holder: str = field(default_factory=name_lease_holder)


def utc_now() -> datetime:
    """The time now, comparable with the times in the journal."""
    return datetime.now(UTC)
