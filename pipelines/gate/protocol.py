"""The gate's protocol: the rules of a promotion, fixed in a versioned file before the run.

The gate makes two kinds of statement.

*The challenger may be promoted* means that every finding is within its margin. This is an intersection-union
test. Each part is tested at the full level, and the whole errs at most that often (Berger, "Multiparameter
hypothesis testing and acceptance sampling", Technometrics 1982). A correction would only demand more data.

*The challenger is worse, better or not inferior in this finding* is one of fourteen statements from which a
reader picks. These carry Holm's correction over the findings (Holm, Scand. J. Stat. 1979).
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
        raise ValueError(f"{unknown[0]!r} is not a finding")


class AurocMargins(Value):
    """How much AUROC a challenger may lose in each finding, and in the mean."""

    margin: Margin
    macro_margin: Margin


class ThresholdMargin(Value):
    """How much sensitivity or specificity may be lost; ``of_finding`` overrides ``margin``."""

    margin: Margin
    of_finding: Mapping[str, Margin] = {}

    @model_validator(mode="after")
    def _knows_its_findings(self) -> "ThresholdMargin":
        _require_findings(self.of_finding)
        return self

    def of(self, finding: str) -> float:
        """Give the margin of one finding."""
        return self.of_finding.get(finding, self.margin)


class BrierMargin(Value):
    """How much larger the Brier score may be; the bound or the point figure is compared."""

    margin: Margin
    judged_by: JudgedBy


class SlopeRange(Value):
    """The range that must contain the challenger's calibration slope: its interval or its point figure."""

    low: float = Field(gt=0)
    high: float
    judged_by: JudgedBy


class SubgroupLimit(Value):
    """How much further a subgroup may fall behind the rest, if both have enough positives.

    The point figure is compared. With fifty positives a bound of three points cannot be reached: such a rule
    would forbid every change and protect nobody. ``axes`` and ``age_cuts`` name the subgroups of
    ``pipelines.evaluation.subgroups``, which the evaluation report shows too.
    """

    axes: tuple[Attribute, ...]
    age_cuts: tuple[float, ...]
    widened_by: Margin
    minimum_positives: int = Field(ge=2)


class ReplayLimits(Value):
    """The limits of a replay of journaled radiographs, and the number of radiographs that it needs."""

    minimum_radiographs: int = Field(ge=1)
    disagreement_at_most: Share
    call_rate_change_at_most: Share
    left_out_at_most: Share


class GateProtocol(Value):
    """The rules of the gate and of the replay.

    ``exempt`` names findings that may stay unshown because positives are rare, each with the reason. The
    exemption ends once the test set has enough positives. ``unshown`` is the rule for all other findings
    that cannot be shown to be within their margins.
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
        # docs/decisions/0030: more radiographs are the remedy, not a softer rule.
        if self.is_clinical and self.unshown != "refuse":
            raise ValueError("a clinical protocol refuses what cannot be shown")
        return self

    @property
    def digest(self) -> str:
        """The SHA-256 of the rules, in hex; comments and the order of the file do not change it."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def alpha(self) -> float:
        """The error rate that each statement is allowed."""
        return 1 - self.confidence
