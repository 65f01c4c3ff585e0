"""What serves the models: it is told how to split the traffic, and says how it does."""

from dataclasses import dataclass
from typing import Protocol


class TargetUnavailable(Exception):
    """What serves the models cannot be asked just now; ask again."""


class TargetRefused(Exception):
    """The challenger cannot be served at all, or what is served is not the champion; nothing was changed."""


@dataclass(frozen=True)
class ModelReference:
    """A sealed bundle: where it lies (a folder, or an S3 prefix), its digest and its version."""

    uri: str
    digest: str
    version: str


@dataclass(frozen=True)
class ModelChange:
    """From one model to another; ``canary_revision`` is what the target calls the challenger's revision."""

    champion: ModelReference
    challenger: ModelReference
    canary_revision: str = ""


@dataclass(frozen=True)
class TrafficStatus:
    """How the traffic is served now, as the target sees it.

    ``percent`` is the canary's real share. ``failure`` says why the canary will not get ready by itself.
    """

    percent: int
    is_canary_ready: bool
    canary_revision: str = ""
    failure: str = ""
    is_promoted: bool = False
    """All traffic is the challenger's, and the champion's revision is let go."""
    is_returned: bool = False
    """All traffic is the champion's, and the challenger's revision is let go."""


class RolloutTarget(Protocol):
    """Each method can be called again and again: it does what is left to do, and only ``wait`` waits.

    All raise ``TargetUnavailable``.
    """

    def read(self, change: ModelChange) -> TrafficStatus: ...

    def require_champion(self, change: ModelChange) -> None:
        """Raise ``Refused`` where anything but the champion alone is served."""

    def shift(self, change: ModelChange, percent: int) -> None:
        """Give the challenger its percent; raise ``Refused`` where it is no sound bundle of that digest."""

    def promote(self, change: ModelChange) -> None: ...
    def roll_back(self, change: ModelChange) -> None: ...

    def wait(self, seconds: float) -> None:
        """Return after so long, or before that where something has changed."""
