"""The revisions of the predictor that a stack is asked to run, and those that it does: two files.

``revisions.json`` is what is wanted, as an InferenceService's ``spec`` is: whoever rolls out a model replaces
it, and ``pleura up`` follows it, also after its own restart. ``revisions_status.json`` is what ``pleura up``
really does, and only it writes that.
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
"""``moving``: promoted, with all of the traffic, and on its way to the stable seat."""


class InvalidRevisions(Exception):
    """The file does not say which revisions are wanted."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PredictorRevision(_Value):
    """A model that is to be served: the folder of its bundle, and the digest that the bundle must have."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")
    bundle: Path
    digest: Digest
    weight: Weight
    """Percent of the traffic."""


class WantedRevisions(_Value):
    """One revision, or two that share the traffic."""

    revisions: tuple[PredictorRevision, ...] = Field(min_length=1, max_length=2)

    @model_validator(mode="after")
    def _shares_all_traffic(self) -> "WantedRevisions":
        if sum(each.weight for each in self.revisions) != 100:
            raise ValueError("the weights must add up to 100")
        if len({each.digest for each in self.revisions}) < len(self.revisions):
            raise ValueError("two revisions of one digest cannot be told apart")
        return self

    @property
    def heaviest(self) -> PredictorRevision:
        """The one with most of the traffic; of equals the first."""
        return max(self.revisions, key=lambda each: each.weight)

    def other_than(self, digest: str) -> PredictorRevision | None:
        """The revision that has not this digest."""
        return next((each for each in self.revisions if each.digest != digest), None)

    def weight_of(self, digest: str) -> int:
        """Percent of the traffic for a digest."""
        return sum(each.weight for each in self.revisions if each.digest == digest)


class RunningRevision(_Value):
    """What became of one revision."""

    name: str
    bundle: Path
    digest: Digest
    phase: Phase
    weight: Weight
    """Percent of the traffic that it gets now."""
    reason: str = ""
    """Why it failed."""
    metrics: str = ""
    """Where its predictor's counters are."""


class RevisionStatus(_Value):
    """The content of ``revisions_status.json``; ``wanted`` is the digest of the file that it follows."""

    wanted: str
    revisions: tuple[RunningRevision, ...]

    def of(self, digest: str) -> RunningRevision | None:
        """The revision with a digest."""
        return next((each for each in self.revisions if each.digest == digest), None)


def read_wanted_revisions(folder: Path) -> tuple[WantedRevisions | None, str]:
    """What is wanted, with the digest of the file; None where nobody ever wanted another than the default.

    Raises:
        InvalidRevisions: The file says something else.
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
    """Say which revisions are wanted from now on; one that is wanted already is not written again."""
    document = wanted.model_dump_json(indent=1) + "\n"
    path = folder / WANTED_FILE
    if not path.exists() or path.read_text() != document:
        _replace(path, document)


def read_status(folder: Path) -> RevisionStatus | None:
    """What the stack said last; None where it never did, or damaged it."""
    try:
        return RevisionStatus.model_validate_json((folder / STATUS_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def write_status(folder: Path, status: RevisionStatus) -> None:
    """Say what the stack does."""
    _replace(folder / STATUS_FILE, status.model_dump_json(indent=1) + "\n")


def forget_status(folder: Path) -> None:
    """Say that nothing is served any more."""
    (folder / STATUS_FILE).unlink(missing_ok=True)


def _replace(path: Path, document: str) -> None:
    new = path.with_name(f"{path.name}.new")
    new.touch(0o600)
    new.write_text(document)
    new.replace(path)


def require_digest(bundle: Path, digest: str) -> None:
    """Prove that a folder holds the very bundle that is meant.

    Raises:
        InvalidBundle: It holds none, a changed one, or another one.
    """
    _, found = verify(bundle)
    if found != digest:
        raise InvalidBundle(f"digest mismatch: {bundle} holds {found[:12]}, wanted is {digest[:12]}")
