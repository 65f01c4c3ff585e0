"""The model card in Markdown: the description that travels with a model, and its evaluation report."""

from collections.abc import Mapping

from pipelines.evaluation.evaluation import FindingEvaluation
from pipelines.evaluation.refusals import RefusalEvaluation
from pipelines.evaluation.report import EvaluationReport
from pipelines.reports.formats import checked_lines, finding_text, format_estimate, format_rate
from pipelines.statistics.bootstrap import IntervalEstimate
from pleura.bundle import (
    CheckedKind,
    FindingDescription,
    InputCheck,
    Interval,
    ModelDescription,
    Origin,
)


def model_card(description: ModelDescription, report: EvaluationReport | None = None) -> str:
    """Write the card: intended use, limits, data, figures with intervals, and operating points.

    Args:
        description: The description in the model's bundle.
        report: The model's evaluation report. The card then also has calibration, subgroups, refusals and
            localisation.
    """
    card = _description_part(description)
    return card if report is None else card + _evaluation_part(report)


def _estimate(estimate: IntervalEstimate | Interval | None) -> str:
    return format_estimate(estimate, decimals=3)


def _finding_row(finding: FindingDescription) -> str:
    cells = (
        finding_text(finding.name),
        f"{finding.test_positives} / {finding.test_negatives}",
        _estimate(finding.auroc),
        f"{finding.operating_point.threshold:.3f}",
        _estimate(finding.sensitivity),
        _estimate(finding.specificity),
    )
    return f"| {' | '.join(cells)} |"


def _bullets(lines: tuple[str, ...]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _means(metrics: Mapping[str, float]) -> str:
    if "mean_auroc" not in metrics:
        return "No mean was measured."
    return f"""{metrics["test_radiographs"]:.0f} radiographs of {metrics["test_patients"]:.0f} patients.
Intervals are 95 %, by bootstrap over patients.

Mean AUROC over the {metrics["measured_findings"]:.0f} measured findings:
**{metrics["mean_auroc"]:.3f}** ({metrics["mean_auroc_low"]:.3f} to {metrics["mean_auroc_high"]:.3f});
mean Brier score {metrics["mean_brier"]:.3f}."""


def _origin(origin: Origin | None) -> str:
    if origin is None:
        return ""
    return f"""
The weights were imported ({origin.kind}) from a file with SHA-256 `{origin.file_sha256}`. Preprocessing during their
training: {origin.preprocessing}.
"""


def _description_part(description: ModelDescription) -> str:
    rows = "\n".join(_finding_row(finding) for finding in description.findings)
    return f"""# Model card: {description.name} {description.version}

DenseNet121, 224x224, fourteen findings.
Generated from the description in the model's bundle; do not edit.

## Intended use

{description.intended_use}

## Limits of use

{_bullets(description.limitations)}

## Data and licences

{_bullets(description.training_data)}

Patients are split into training, validation and test. No patient is in two splits. Unknown labels are ignored in
training. The test split was read once, for the table below, after all choices were made.
{_origin(description.origin)}
## Figures on the test split

{_means(description.metrics)}

| finding | positive / negative | AUROC | threshold | sensitivity | specificity |
|---|---:|---|---:|---|---|
{rows}

Do not compare these figures with figures on other radiographs. They depend on how a sample was collected.

## Operating points and calibration

Thresholds: {description.operating_points_chosen}. Calibration: {description.calibration}. Both travel
with the model. A threshold is valid only for the version that it belongs to.

## Typicality

Each answer carries a typicality: the share of known chest radiographs (validation split) that lie farther from the
centre of the training radiographs, by Mahalanobis distance on the network's features. Near 0 the radiograph is unlike
all training radiographs, and its probabilities mean little.

## Input check

{_input_check(description.input_check)}
"""


def _input_check(check: InputCheck | None) -> str:
    if check is None:
        return (
            "None: this model does not tell whether an image is an upright chest film. A typicality below 0.02 "
            "flags it as `untypical`."
        )
    return f"""A logistic regression on the features and on the radiograph in 14 x 14 tiles flags an image as `not_chest`,
`orientation` (turned, upside down) or `inverted` if the probability of an upright chest film is below
{check.upright_threshold:.3f}. A distance above {check.not_chest_distance:.0f} flags it as `not_chest`, one above {check.untypical_distance:.1f} as
`untypical`: unlike the films that the model was made on. Chosen {check.chosen}. Fitted on:

{_bullets(check.fitted_on)}

{_checked_kinds(check.figures)}"""


def _checked_kinds(kinds: tuple[CheckedKind, ...]) -> str:
    if not kinds:
        return "What it refuses was not examined."
    table = "\n".join(checked_lines(kinds))
    return f"""Refused means one of the first three flags; the rows in bold should not be refused. Intervals are 95 %, and count
patients. `untypical` refuses nothing.

{table}"""


def _evaluation_part(report: EvaluationReport) -> str:
    rows = "\n".join(_calibration_row(finding) for finding in report.evaluation.findings)
    subject = report.subject
    return f"""
## Evaluation

Model `{subject.model_digest}` on data set `{subject.dataset.digest}` ({subject.dataset.name}, {subject.dataset.split} split), by code
`{subject.code_version}`. A slope of 1 and an intercept of 0 are right. The noise floor is the ECE that chance gives a
perfectly calibrated model: mean, 95th percentile.

| finding | AUPRC; prevalence | Brier score | calibration slope | calibration intercept | ECE; noise floor |
|---|---|---|---|---|---|
{rows}

## Subgroups

{_subgroups(report)}

## Refusal by typicality

{_refusals(report.refusals)}

## Activation maps

{_localisation(report)}
"""


def _calibration_row(finding: FindingEvaluation) -> str:
    figures = finding.figures
    if figures is None:
        return f"| {finding_text(finding.finding)} |{' unmeasured |' * 5}"
    floor = figures.ece_floor
    cells = (
        finding_text(finding.finding),
        f"{_estimate(figures.auprc)}; {finding.prevalence:.3f}",
        _estimate(figures.brier),
        _estimate(figures.calibration_slope),
        _estimate(figures.calibration_intercept),
        f"{figures.ece.value:.3f}; {floor.mean:.3f}, {floor.high:.3f}",
    )
    return f"| {' | '.join(cells)} |"


def _subgroups(report: EvaluationReport) -> str:
    lines = [
        f"- {group.attribute} {group.group}, {finding_text(gap.finding)}: AUROC {_estimate(gap.auroc)}, "
        f"gap to the others {_estimate(gap.auroc_gap)}"
        for group in report.subgroups
        for gap in group.gaps
    ]
    small = [f"{group.attribute} {group.group}" for group in report.subgroups if not group.gaps]
    lines += [f"- too small to show any gap: {', '.join(small)}"] if small else []
    return "\n".join(lines) or "Not examined."


def _refusals(refusals: RefusalEvaluation | None) -> str:
    if refusals is None:
        return "Not examined."
    refused = [
        f"- {each.kind} ({each.radiographs}), wrongly refused: "
        + ", ".join(f"{format_rate(at.rate)} below {at.threshold}" for at in each.rates)
        for each in refusals.alike
    ]
    checked = ["", *checked_lines(refusals.checked)] if refusals.checked else []
    answered = [
        f"- {each.kind} ({each.radiographs}), wrongly answered: "
        + ", ".join(f"{format_rate(at.rate)} at {at.threshold}" for at in each.rates)
        + (f"; AUROC {_estimate(each.auroc)}" if each.auroc else "")
        for each in refusals.unlike
    ]
    return "\n".join(refused + answered + checked)


def _localisation(report: EvaluationReport) -> str:
    lines = [
        f"- {part.radiographs} ({overall.boxes} boxes): the highest point of the map lies in the box in "
        f"{_estimate(overall.pointing)}; a random point {_estimate(overall.pointing_random)}, the map of "
        f"another patient {_estimate(overall.pointing_other)}; IoU {_estimate(overall.iou)}, at random "
        f"{_estimate(overall.iou_random)}"
        for part in report.localisation
        for overall in part.findings[:1]
    ]
    return "\n".join(lines) or "Not examined."
