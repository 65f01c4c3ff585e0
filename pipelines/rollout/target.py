"""The seam to what serves the models: a rollout target splits the traffic and says how it is split."""

from dataclasses import dataclass
from typing import Protocol


class TargetUnavailable(Exception):
    """The target does not answer now; a later call may succeed."""


class TargetRefused(Exception):
    """The challenger cannot be served, or the target does not serve the champion; nothing was changed."""


@dataclass(frozen=True)
class ModelReference:
    """A sealed bundle: where it lies (a folder, or an S3 prefix), its digest and its version."""

    uri: str
    digest: str
    version: str


@dataclass(frozen=True)
class ModelChange:
    """From one model to another; ``canary_revision`` is the target's name for the challenger's revision."""

    champion: ModelReference
    challenger: ModelReference
    canary_revision: str = ""


@dataclass(frozen=True)
class TrafficStatus:
    """How the target splits the traffic now.

    ``percent`` is the share that the canary really has. ``failure`` says why the canary will not become ready
    by itself; it is empty otherwise.
    """

    percent: int
    is_canary_ready: bool
    canary_revision: str = ""
    failure: str = ""
    is_promoted: bool = False
    """The challenger has all traffic, and the champion's revision is released."""
    is_rolled_back: bool = False
    """The champion has all traffic, and the challenger's revision is released."""


class RolloutTarget(Protocol):
    """What serves the models. Each method can be repeated, and only ``wait`` waits.

    All methods raise ``TargetUnavailable``.
    """

    def read(self, change: ModelChange) -> TrafficStatus: ...

    def require_champion(self, change: ModelChange) -> None:
        """Raise ``TargetRefused`` unless the champion alone is served."""

    def shift(self, change: ModelChange, percent: int) -> None:
        """Give the challenger its percent; raise ``TargetRefused`` if its bundle is not sound."""

    def promote(self, change: ModelChange) -> None: ...
    def roll_back(self, change: ModelChange) -> None: ...

    def wait(self, seconds: float) -> None:
        """Return after so many seconds, or earlier if something has changed."""
