"""The two files that say which revisions of the predictor a stack should run, and which it runs.

``revisions.json`` names the wanted revisions, like the ``spec`` of an InferenceService. A rollout replaces
this file, and ``pleura up`` follows it, also after a restart. ``revisions_status.json`` describes the running
revisions. Only ``pleura up`` writes it.
"""

import hashlib
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pleura.bundle import InvalidBundle, verify

WANTED_FILE: Final = "revisions.json"
STATUS_FILE: Final = "revisions_status.json"
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Weight = Annotated[int, Field(ge=0, le=100)]
Phase = Literal["starting", "ready", "failed", "draining", "moving"]
"""``moving``: promoted, with all of the traffic, while its predictor starts in the stable slot."""


class InvalidRevisions(Exception):
    """``revisions.json`` cannot be read, or does not name the wanted revisions."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PredictorRevision(_Value):
    """A model to serve: the folder of its bundle, and the digest that the bundle must have."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")
    bundle: Path
    digest: Digest
    weight: Weight
    """Percent of the traffic."""


class WantedRevisions(_Value):
    """One revision, or two that share the traffic."""

    revisions: tuple[PredictorRevision, ...] = Field(min_length=1, max_length=2)

    @model_validator(mode="after")
    def _require_all_traffic(self) -> "WantedRevisions":
        if sum(revision.weight for revision in self.revisions) != 100:
            raise ValueError("the weights must add up to 100")
        if len({revision.digest for revision in self.revisions}) < len(self.revisions):
            raise ValueError("two revisions of one digest cannot be told apart")
        return self

    @property
    def heaviest(self) -> PredictorRevision:
        """The revision with most of the traffic; of two equal shares, the first."""
        return max(self.revisions, key=lambda revision: revision.weight)

    def find(self, digest: str) -> PredictorRevision | None:
        """Return the revision with this digest."""
        return next((revision for revision in self.revisions if revision.digest == digest), None)

    def find_other(self, digest: str) -> PredictorRevision | None:
        """Return the revision with another digest."""
        return next((revision for revision in self.revisions if revision.digest != digest), None)


class RunningRevision(_Value):
    """The state of one revision."""

    name: str
    bundle: Path
    digest: Digest
    phase: Phase
    weight: Weight
    """Percent of the traffic that it gets now."""
    reason: str = ""
    """Why it failed."""
    metrics: str = ""
    """URL of its predictor's counters."""


class RevisionStatus(_Value):
    """The content of ``revisions_status.json``; ``wanted`` is the digest of ``revisions.json``."""

    wanted: str
    revisions: tuple[RunningRevision, ...]

    def find(self, digest: str) -> RunningRevision | None:
        """Return the revision with this digest."""
        return next((revision for revision in self.revisions if revision.digest == digest), None)


def read_wanted_revisions(folder: Path) -> tuple[WantedRevisions | None, str]:
    """Read the wanted revisions, and the digest of their file; None where the default was never replaced.

    Raises:
        InvalidRevisions: The file cannot be read or is malformed.
    """
    try:
        document = (folder / WANTED_FILE).read_bytes()
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        raise InvalidRevisions(f"{folder / WANTED_FILE} cannot be read: {error.strerror}") from error
    try:
        return WantedRevisions.model_validate_json(document), hashlib.sha256(document).hexdigest()
    except ValidationError as error:
        raise InvalidRevisions(f"{folder / WANTED_FILE}: {error.errors()[0]['msg']}") from error


def write_wanted_revisions(folder: Path, wanted: WantedRevisions) -> None:
    """Write which revisions are wanted; the same content is not written a second time."""
    document = wanted.model_dump_json(indent=1) + "\n"
    path = folder / WANTED_FILE
    if not path.exists() or path.read_text() != document:
        _replace(path, document)


def read_status(folder: Path) -> RevisionStatus | None:
    """Read the status that the stack wrote last; None where the file is missing or damaged."""
    try:
        return RevisionStatus.model_validate_json((folder / STATUS_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def write_status(folder: Path, status: RevisionStatus) -> None:
    """Write which revisions run."""
    _replace(folder / STATUS_FILE, status.model_dump_json(indent=1) + "\n")


def remove_status(folder: Path) -> None:
    """Remove the status, because nothing is served any more."""
    (folder / STATUS_FILE).unlink(missing_ok=True)


def _replace(path: Path, document: str) -> None:
    # renamed into place, so that no reader meets half of it
    new = path.with_name(f"{path.name}.new")
    new.touch(0o600)
    new.write_text(document)
    new.replace(path)


def require_digest(bundle: Path, digest: str) -> None:
    """Require that a folder holds the bundle with this digest.

    Raises:
        InvalidBundle: The folder holds no bundle, a changed one, or another one.
    """
    _, found = verify(bundle)
    if found != digest:
        raise InvalidBundle(f"digest mismatch: {bundle} holds {found[:12]}, wanted is {digest[:12]}")
