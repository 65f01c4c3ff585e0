"""What the registry knows of a model, and how the moves of its aliases add up: values, no server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import Field

from pipelines.data.manifest import Sha256
from pipelines.value import Value
from pleura.bundle import ModelDescription

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
MEAN_AUROC: Final = "mean_auroc"
MlflowName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_./: -]+$", max_length=250)]  # as MLflow takes it
SingleLine = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=1000)]
FiniteFigure = Annotated[float, Field(allow_inf_nan=False)]


class DecisionReference(Value):
    """What the gate decided of a challenger, and where its signed record lies.

    ``challenger`` is the digest of the bundle that was judged, ``champion`` that of the champion that it was
    compared with; None where there was none.
    """

    uri: str
    sha256: Sha256
    is_passed: bool
    challenger: Sha256
    champion: Sha256 | None


class Registration(Value):
    """A trained and judged model, as it is registered; ``digest`` is that of its bundle."""

    digest: Sha256
    dataset_digest: Sha256
    code_version: str = Field(min_length=1, max_length=200)
    parameters: Mapping[MlflowName, Annotated[str, Field(max_length=6000)]]
    figures: Mapping[MlflowName, FiniteFigure]
    report_uri: str
    judgement_uri: str
    decision: DecisionReference | None = None


@dataclass(frozen=True)
class ModelVersion:
    """A registered model; ``number`` counts from 1, ``bundle_uri`` is what a predictor loads."""

    number: int
    registration: Registration
    bundle_uri: str
    registered_at: datetime
    aliases: tuple[str, ...]

    @property
    def digest(self) -> str:
        """The digest of its bundle."""
        return self.registration.digest


class MoveReason(Value):
    """Who moves an alias, and for what reason; ``override`` is a reason to pass over the gate.

    Together they stay below the 6,000 characters at which MLflow would silently cut a parameter.
    """

    who: Annotated[SingleLine, Field(max_length=100)]
    reason: SingleLine
    override: SingleLine | None = None


class AliasMove(Value):
    """One line of the audit trail: an alias went from one version to another.

    ``token`` tells two attempts at the same line apart.
    """

    number: int = Field(ge=1)
    kind: Literal["challenge", "promote", "rollback"]
    before: int | None
    after: int
    why: MoveReason
    moved_at: datetime
    token: str

    @property
    def alias(self) -> str:
        """The alias that moved."""
        return CHALLENGER if self.kind == "challenge" else CHAMPION


@dataclass(frozen=True)
class AliasState:
    """Where the aliases stand; ``former`` are the champions before this one, the last one first to return."""

    champion: int | None = None
    challenger: int | None = None
    former: tuple[int, ...] = ()
    rolled_back: frozenset[int] = frozenset()

    def aliases_of(self, number: int) -> tuple[str, ...]:
        """The aliases of a version."""
        held = {CHAMPION: self.champion, CHALLENGER: self.challenger}
        return tuple(alias for alias, holder in held.items() if holder == number)

    def after(self, move: AliasMove) -> "AliasState":
        """Where they stand after one more move."""
        if move.kind == "challenge":
            return AliasState(self.champion, move.after, self.former, self.rolled_back)
        challenger = None if self.challenger == move.after else self.challenger
        if move.kind == "promote":
            former = self.former if self.champion is None else (*self.former, self.champion)
            return AliasState(move.after, challenger, former, self.rolled_back)
        assert self.champion is not None
        return AliasState(move.after, challenger, self.former[:-1], self.rolled_back | {self.champion})


def apply_moves(moves: Sequence[AliasMove]) -> AliasState:
    """Add up the moves, in their order."""
    standing = AliasState()
    for move in moves:
        standing = standing.after(move)
    return standing


def read_bundle_figures(description: ModelDescription) -> dict[str, float]:
    """The figures that a bundle brings along, by ``name`` or ``name/finding``, without the unmeasured."""
    figures = dict(description.metrics)
    for finding in description.findings:
        figures[f"threshold/{finding.name}"] = finding.operating_point.threshold
        for name in ("auroc", "sensitivity", "specificity"):
            measured = getattr(finding, name)
            if measured is not None:
                figures[f"{name}/{finding.name}"] = measured.value
    return figures
