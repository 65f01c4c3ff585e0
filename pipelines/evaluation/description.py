"""The description that travels in a model's bundle: what people say of the model, and what was measured."""

from collections.abc import Sequence

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from pipelines.evaluation.evaluation import Evaluation, FindingEvaluation
from pipelines.evaluation.report import EvaluationReport
from pipelines.statistics.bootstrap import IntervalEstimate
from pleura.bundle import FindingDescription, InputCheck, Interval, ModelDescription, OperatingPoint
from pleura.contract import PREPROCESSING_VERSION
from pleura.findings import FINDINGS


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class ModelText:
    """The part of a model's description that people write."""

    name: str
    version: str
    intended_use: str
    limitations: tuple[str, ...]
    training_data: tuple[str, ...]


def _interval(estimate: IntervalEstimate | None) -> Interval | None:
    if estimate is None:
        return None
    return Interval(value=estimate.value, low=estimate.low, high=estimate.high)


def _describe_finding(point: OperatingPoint, finding: FindingEvaluation) -> FindingDescription:
    figures = finding.figures
    return FindingDescription(
        name=finding.finding,
        operating_point=point,
        auroc=None if figures is None else _interval(figures.auroc),
        sensitivity=None if figures is None else _interval(figures.sensitivity),
        specificity=None if figures is None else _interval(figures.specificity),
        test_positives=finding.positives,
        test_negatives=finding.negatives,
    )


def evaluated_findings(points: Sequence[OperatingPoint], evaluation: Evaluation) -> list[FindingDescription]:
    """Describe each finding with its figures; a finding with too few positives or negatives has none."""
    return [_describe_finding(p, f) for p, f in zip(points, evaluation.findings, strict=True)]


def unmeasured_findings(points: Sequence[OperatingPoint]) -> list[FindingDescription]:
    """Describe each finding of a model that was not evaluated yet."""
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


def add_figures(description: ModelDescription, report: EvaluationReport) -> ModelDescription:
    """Add the figures of an evaluation report to the description of the evaluated model."""
    points = [finding.operating_point for finding in description.findings]
    findings = tuple(evaluated_findings(points, report.evaluation))
    check = description.input_check
    if check is not None and report.refusals is not None:
        check = check.model_copy(update={"figures": report.refusals.checked})
    return description.model_copy(
        update={
            "findings": findings,
            "metrics": macro_metrics(report.evaluation),
            "input_check": check,
        }
    )


def macro_metrics(evaluation: Evaluation) -> dict[str, float]:
    """Give the counts of the test split; if a finding is measured, also the mean AUROC and Brier score."""
    counts = {
        "measured_findings": float(len(evaluation.measured)),
        "test_radiographs": float(evaluation.radiographs),
        "test_patients": float(evaluation.patients),
    }
    macro = evaluation.macro
    if macro is None:
        return counts
    return counts | {
        "mean_auroc": macro.auroc.value,
        "mean_auroc_low": macro.auroc.low,
        "mean_auroc_high": macro.auroc.high,
        "mean_brier": macro.brier.value,
    }


def build_description(
    text: ModelText,
    findings: list[FindingDescription],
    metrics: dict[str, float],
    input_check: InputCheck | None = None,
) -> ModelDescription:
    """Join the text that people wrote with the measured findings and metrics, and the input check if any."""
    return ModelDescription(
        name=text.name,
        version=text.version,
        preprocessing_version=PREPROCESSING_VERSION,
        findings=tuple(findings),
        calibration="Platt scaling per finding, fitted on the validation split",
        operating_points_chosen=(
            "per finding, where sensitivity and specificity are closest on the validation split"
        ),
        intended_use=text.intended_use,
        limitations=text.limitations,
        training_data=text.training_data,
        metrics=metrics,
        input_check=input_check,
    )
