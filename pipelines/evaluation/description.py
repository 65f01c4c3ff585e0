"""What a bundle says of itself: what people say of the model, joined with what a judgement found."""

from collections.abc import Sequence

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from pipelines.evaluation.evaluate import Evaluation, FindingEvaluation
from pipelines.evaluation.report import EvaluationReport
from pipelines.statistics.bootstrap import IntervalEstimate
from pleura.bundle import FindingDescription, Interval, ModelDescription, OperatingPoint
from pleura.contract import PREPROCESSING_VERSION
from pleura.findings import FINDINGS


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class ModelText:
    """What people say of a model, as opposed to what is measured."""

    name: str
    version: str
    intended_use: str
    limitations: tuple[str, ...]
    training_data: tuple[str, ...]


def _served(figure: IntervalEstimate | None) -> Interval | None:
    return None if figure is None else Interval(value=figure.value, low=figure.low, high=figure.high)


def _described_finding(point: OperatingPoint, finding: FindingEvaluation) -> FindingDescription:
    figures = finding.figures
    return FindingDescription(
        name=finding.finding,
        operating_point=point,
        auroc=None if figures is None else _served(figures.auroc),
        sensitivity=None if figures is None else _served(figures.sensitivity),
        specificity=None if figures is None else _served(figures.specificity),
        test_positives=finding.positives,
        test_negatives=finding.negatives,
    )


def evaluated_findings(points: Sequence[OperatingPoint], judgement: Evaluation) -> list[FindingDescription]:
    """Say of each finding what travels with the model; one with too few positives is unmeasured."""
    return [_described_finding(p, f) for p, f in zip(points, judgement.findings, strict=True)]


def unmeasured_findings(points: Sequence[OperatingPoint]) -> list[FindingDescription]:
    """Say of each finding that it was not judged yet."""
    return [
        FindingDescription(
            name=name,
            operating_point=point,
            auroc=None,
            sensitivity=None,
            specificity=None,
            test_positives=0,
            test_negatives=0,
        )
        for name, point in zip(FINDINGS, points, strict=True)
    ]


def add_figures(description: ModelDescription, dossier: EvaluationReport) -> ModelDescription:
    """Put the figures of a judgement into the description of the model that was judged."""
    points = [finding.operating_point for finding in description.findings]
    findings = tuple(evaluated_findings(points, dossier.judgement))
    return description.model_copy(update={"findings": findings, "metrics": macro_metrics(dossier.judgement)})


def macro_metrics(judgement: Evaluation) -> dict[str, float]:
    """Mean AUROC over the measured findings with its interval, and the mean Brier score, where there are."""
    counts = {
        "measured_findings": float(len(judgement.measured)),
        "test_radiographs": float(judgement.radiographs),
        "test_patients": float(judgement.patients),
    }
    macro = judgement.macro
    if macro is None:
        return counts
    return counts | {
        "mean_auroc": macro.auroc.value,
        "mean_auroc_low": macro.auroc.low,
        "mean_auroc_high": macro.auroc.high,
        "mean_brier": macro.brier.value,
    }


def build_description(
    words: ModelText, judged: list[FindingDescription], metrics: dict[str, float]
) -> ModelDescription:
    """Join what was measured with what is said of the model."""
    return ModelDescription(
        name=words.name,
        version=words.version,
        preprocessing_version=PREPROCESSING_VERSION,
        findings=tuple(judged),
        calibration="Platt scaling per finding, fitted on the validation split",
        operating_points_chosen=(
            "per finding, where sensitivity and specificity are closest on the validation split"
        ),
        intended_use=words.intended_use,
        limitations=words.limitations,
        training_data=words.training_data,
        metrics=metrics,
    )
