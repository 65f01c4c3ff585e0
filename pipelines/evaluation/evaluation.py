"""The evaluation of a model as a value: figures with intervals, and curves, for each finding."""

from typing import Literal

from pydantic import Field

from pipelines.evaluation.subgroups import AGE_BOUNDS
from pipelines.statistics.bootstrap import Bootstrap, IntervalEstimate
from pipelines.statistics.calibration import NoiseFloor, ReliabilityBin
from pipelines.value import Value

Point = tuple[float, float]


class EvaluationProtocol(Value):
    """The rules of an evaluation, fixed before the radiographs are read.

    A finding with fewer positives or negatives than ``minimum_positives`` is unmeasured. A subgroup is
    compared if both the subgroup and the others have ``subgroup_minimum_positives``.
    """

    draws: int = Field(default=2_000, ge=100)
    seed: int = 1
    minimum_positives: int = Field(default=20, ge=2)
    subgroup_minimum_positives: int = Field(default=50, ge=2)
    age_bands: tuple[float, ...] = (0.0, *AGE_BOUNDS)
    typicality_thresholds: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1)

    @property
    def bootstrap(self) -> Bootstrap:
        """The bootstrap that gives the intervals."""
        return Bootstrap(self.draws, self.seed)


class Figures(Value):
    """The figures of one finding. PPV and NPV hold at the prevalence of these radiographs only.

    Compare ``auprc`` with the prevalence, which guessing reaches, and ``ece`` with its noise floor.
    Resampling adds noise to ``ece``, so its draws are shifted back to lie around the value.
    """

    auroc: IntervalEstimate
    auprc: IntervalEstimate
    sensitivity: IntervalEstimate
    specificity: IntervalEstimate
    ppv: IntervalEstimate | None
    npv: IntervalEstimate | None
    brier: IntervalEstimate
    ece: IntervalEstimate
    ece_floor: NoiseFloor
    calibration_slope: IntervalEstimate | None
    calibration_intercept: IntervalEstimate | None


class Curves(Value):
    """Points of the plots: (1 - specificity, sensitivity), (recall, precision), and reliability bins."""

    roc: tuple[Point, ...]
    precision_recall: tuple[Point, ...]
    reliability: tuple[ReliabilityBin, ...]


class FindingEvaluation(Value):
    """One finding on the radiographs whose label is known; ``figures`` is None if it is unmeasured."""

    finding: str
    threshold: float
    positives: int
    negatives: int
    unknown: int
    figures: Figures | None
    curves: Curves | None

    @property
    def prevalence(self) -> float:
        """The share of positives among known labels; NaN if no label is known."""
        known = self.positives + self.negatives
        return self.positives / known if known else float("nan")

    @property
    def status(self) -> Literal["measured", "unmeasured"]:
        """Whether the finding has figures."""
        return "unmeasured" if self.figures is None else "measured"


class Macro(Value):
    """Means over the measured findings."""

    auroc: IntervalEstimate
    auprc: IntervalEstimate
    sensitivity: IntervalEstimate
    specificity: IntervalEstimate
    brier: IntervalEstimate
    ece: IntervalEstimate
    calibration_slope: IntervalEstimate | None


class Evaluation(Value):
    """How well a model reads each finding on one sealed set of radiographs."""

    protocol: EvaluationProtocol
    radiographs: int
    patients: int
    findings: tuple[FindingEvaluation, ...]
    macro: Macro | None

    def to_json(self) -> bytes:
        """Give the bytes that are stored; the same evaluation gives the same bytes."""
        return (self.model_dump_json(indent=1) + "\n").encode()

    @property
    def measured(self) -> tuple[FindingEvaluation, ...]:
        """The findings that have figures."""
        return tuple(finding for finding in self.findings if finding.figures is not None)
