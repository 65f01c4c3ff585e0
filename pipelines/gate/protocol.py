"""What a challenger must show before it may be promoted: fixed in a versioned file before the run.

Two kinds of statement are made, and they need different care.

*It may be promoted* asks that every finding is within its margin. That is an intersection-union test: each
part is tested at the full level and the whole still errs at most that often (Berger, "Multiparameter
hypothesis testing and acceptance sampling", Technometrics 1982). A correction would only demand more data.

*It is worse, or better, or shown not inferior, in this finding* is one of fourteen statements that somebody
picks from a table. Those carry Holm's correction over the findings (Holm, Scand. J. Stat. 1979).
"""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipelines.evaluation.subgroups import Attribute
from pipelines.value import Value
from pleura.findings import FINDINGS

JudgedBy = Literal["bound", "point"]
Margin = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, le=1)]


def _require_findings(names: Mapping[str, object]) -> None:
    unknown = sorted(set(names) - set(FINDINGS))
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no finding")


class AurocMargins(Value):
    """How much AUROC a challenger may lose in each finding, and in their mean."""

    margin: Margin
    macro_margin: Margin


class ThresholdMargin(Value):
    """How much sensitivity, or specificity, may be lost at the served thresholds; some findings have less."""

    margin: Margin
    of_finding: Mapping[str, Margin] = {}

    @model_validator(mode="after")
    def _knows_its_findings(self) -> "ThresholdMargin":
        _require_findings(self.of_finding)
        return self

    def of(self, finding: str) -> float:
        """The margin of one finding."""
        return self.of_finding.get(finding, self.margin)


class BrierMargin(Value):
    """How much larger the Brier score may be; by its bound, or by its point figure."""

    margin: Margin
    judged_by: JudgedBy


class SlopeRange(Value):
    """Where the challenger's calibration slope must lie; with its whole interval, or its point figure."""

    low: float = Field(gt=0)
    high: float
    judged_by: JudgedBy


class SubgroupLimit(Value):
    """How much further a subgroup may fall behind all others, where both have enough positives.

    By the point figure: with fifty positives a bound of three points cannot be reached, so such a rule
    would forbid every change and protect nobody. ``axes`` and ``age_cuts`` name the subgroups of
    ``pipelines.evaluation.subgroups``, which the evaluation report shows too.
    """

    axes: tuple[Attribute, ...]
    age_cuts: tuple[float, ...]
    widened_by: Margin
    minimum_positives: int = Field(ge=2)


class ReplayLimits(Value):
    """What a replay of journaled radiographs may show at most, and on how many it must stand."""

    minimum_radiographs: int = Field(ge=1)
    disagreement_at_most: Share
    call_rate_change_at_most: Share
    left_out_at_most: Share


class GateProtocol(Value):
    """The rules of the gate and of the replay.

    ``exempt`` names findings that may go unshown for want of positives, each with the reason; the exemption
    lapses where the test set has enough. ``unshown`` says what becomes of all other findings that cannot be
    shown to be within their margins.
    """

    name: str = Field(min_length=1)
    version: str = Field(min_length=1)
    purpose: str = Field(min_length=1)
    is_clinical: bool
    confidence: float = Field(gt=0.5, lt=1)
    minimum_positives: int = Field(ge=2)
    minimum_negatives: int = Field(ge=2)
    auroc: AurocMargins
    sensitivity: ThresholdMargin
    specificity: ThresholdMargin
    brier: BrierMargin
    calibration_slope: SlopeRange
    subgroups: SubgroupLimit
    unshown: Literal["refuse", "allow_with_note"]
    exempt: Mapping[str, str] = {}
    replay: ReplayLimits

    @model_validator(mode="after")
    def _is_sensible(self) -> "GateProtocol":
        _require_findings(self.exempt)
        if not self.calibration_slope.low < 1 < self.calibration_slope.high:
            raise ValueError("a calibration slope of 1 must be within its range")
        if self.is_clinical and self.unshown != "refuse":
            raise ValueError("a clinical protocol refuses what cannot be shown")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of what the protocol says, in hex: comments and order of the file do not change it."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def alpha(self) -> float:
        """How often each statement may err."""
        return 1 - self.confidence
