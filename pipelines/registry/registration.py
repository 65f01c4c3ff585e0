"""The values of the registry: a registered model, a move of an alias, and the aliases after some moves."""

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
MlflowName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_./: -]+$", max_length=250)]  # what MLflow accepts
SingleLine = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=1000)]
FiniteFigure = Annotated[float, Field(allow_inf_nan=False)]


class DecisionReference(Value):
    """The gate's decision on a challenger, and the URI of its signed record.

    ``challenger`` is the digest of the judged bundle. ``champion`` is the digest of the champion that it was
    compared with; None if there was no champion.
    """

    uri: str
    sha256: Sha256
    is_passed: bool
    challenger: Sha256
    champion: Sha256 | None


class Registration(Value):
    """A trained and judged model, to be registered; ``digest`` is the digest of its bundle."""

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
    """A registered model; ``number`` counts from 1, a predictor loads ``bundle_uri``."""

    number: int
    registration: Registration
    bundle_uri: str
    registered_at: datetime
    aliases: tuple[str, ...]

    @property
    def digest(self) -> str:
        """The digest of the bundle."""
        return self.registration.digest


class MoveReason(Value):
    """Who moves an alias, and why; ``override`` is the reason to ignore the gate.

    The limits keep a move below 6,000 characters: MLflow silently cuts longer parameters.
    """

    who: Annotated[SingleLine, Field(max_length=100)]
    reason: SingleLine
    override: SingleLine | None = None


class AliasMove(Value):
    """One line of the audit trail: an alias moved from one version to another.

    ``token`` distinguishes two attempts to write the same line.
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
    """Which versions have the aliases; ``former`` are the earlier champions, the latest one last."""

    champion: int | None = None
    challenger: int | None = None
    former: tuple[int, ...] = ()
    rolled_back: frozenset[int] = frozenset()

    def aliases_of(self, number: int) -> tuple[str, ...]:
        """The aliases of a version."""
        versions = {CHAMPION: self.champion, CHALLENGER: self.challenger}
        return tuple(alias for alias, version in versions.items() if version == number)

    def after(self, move: AliasMove) -> "AliasState":
        """The aliases after one more move."""
        if move.kind == "challenge":
            return AliasState(self.champion, move.after, self.former, self.rolled_back)
        challenger = None if self.challenger == move.after else self.challenger
        if move.kind == "promote":
            former = self.former if self.champion is None else (*self.former, self.champion)
            return AliasState(move.after, challenger, former, self.rolled_back)
        assert self.champion is not None
        return AliasState(move.after, challenger, self.former[:-1], self.rolled_back | {self.champion})


def apply_moves(moves: Sequence[AliasMove]) -> AliasState:
    """Apply the moves in their order, to a model without aliases."""
    state = AliasState()
    for move in moves:
        state = state.after(move)
    return state


def read_bundle_figures(description: ModelDescription) -> dict[str, float]:
    """Read the measured figures of a bundle, by ``name`` or ``name/finding``."""
    figures = dict(description.metrics)
    for finding in description.findings:
        figures[f"threshold/{finding.name}"] = finding.operating_point.threshold
        for name in ("auroc", "sensitivity", "specificity"):
            estimate = getattr(finding, name)
            if estimate is not None:
                figures[f"{name}/{finding.name}"] = estimate.value
    return figures
