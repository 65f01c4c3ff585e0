"""The model card, in Markdown, from the description that travels with the model, and from its evaluation."""

from collections.abc import Mapping

from pipelines.evaluation.evaluate import FindingEvaluation
from pipelines.evaluation.refusals import RefusalEvaluation, RefusalRate
from pipelines.evaluation.report import EvaluationReport
from pipelines.statistics.bootstrap import IntervalEstimate
from pleura.bundle import FindingDescription, Interval, ModelDescription, Origin


def finding_text(finding: str) -> str:
    """A finding's name as people write it."""
    return finding.replace("_", " ")


def _figure(interval: Interval | IntervalEstimate | None) -> str:
    if interval is None:
        return "unmeasured"
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _row(finding: FindingDescription) -> str:
    cells = (
        finding_text(finding.name),
        f"{finding.test_positives} / {finding.test_negatives}",
        _figure(finding.auroc),
        f"{finding.operating_point.threshold:.3f}",
        _figure(finding.sensitivity),
        _figure(finding.specificity),
    )
    return f"| {' | '.join(cells)} |"


def _bullets(lines: tuple[str, ...]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _calibration_row(finding: FindingEvaluation) -> str:
    figures = finding.figures
    if figures is None:
        return f"| {finding_text(finding.finding)} |{' unmeasured |' * 5}"
    floor = figures.ece_floor
    cells = (
        finding_text(finding.finding),
        f"{_figure(figures.auprc)}; {finding.prevalence:.3f}",
        _figure(figures.brier),
        _figure(figures.calibration_slope),
        _figure(figures.calibration_intercept),
        f"{figures.ece.value:.3f}; {floor.mean:.3f}, {floor.high:.3f}",
    )
    return f"| {' | '.join(cells)} |"


def _subgroups(report: EvaluationReport) -> str:
    lines = [
        f"- {group.attribute} {group.group}, {finding_text(gap.finding)}: AUROC {_figure(gap.auroc)}, "
        f"gap to the rest {_figure(gap.auroc_gap)}"
        for group in report.subgroups
        for gap in group.gaps
    ]
    small = [f"{group.attribute} {group.group}" for group in report.subgroups if not group.gaps]
    lines += [f"- too small to show any gap: {', '.join(small)}"] if small else []
    return "\n".join(lines) or "Not looked at."


def _rate(rate: RefusalRate) -> str:
    return f"{rate.value:.0%} ({rate.low:.0%} to {rate.high:.0%})"


def _refusals(refusals: RefusalEvaluation | None) -> str:
    if refusals is None:
        return "Not looked at."
    refused = [
        f"- {each.kind} ({each.radiographs}), wrongly refused: "
        + ", ".join(f"{_rate(at.rate)} below {at.threshold}" for at in each.rates)
        for each in refusals.alike
    ]
    answered = [
        f"- {each.kind} ({each.radiographs}), wrongly answered: "
        + ", ".join(f"{_rate(at.rate)} at {at.threshold}" for at in each.rates)
        + (f"; AUROC {_figure(each.auroc)}" if each.auroc else "")
        for each in refusals.unlike
    ]
    return "\n".join(refused + answered)


def _localisation(report: EvaluationReport) -> str:
    lines = [
        f"- {each.radiographs} ({every.boxes} boxes): the highest place of the map lies in the box in "
        f"{_figure(every.pointing)}; a random place {_figure(every.pointing_random)}, another patient's map "
        f"{_figure(every.pointing_other)}; IoU {_figure(every.iou)}, at random {_figure(every.iou_random)}"
        for each in report.localisation
        for every in each.findings[:1]
    ]
    return "\n".join(lines) or "Not looked at."


def _judged(report: EvaluationReport) -> str:
    """What the card adds where there is a report."""
    rows = "\n".join(_calibration_row(finding) for finding in report.evaluation.findings)
    subject = report.subject
    return f"""
## Judgement

Model `{subject.model_digest}` on data set `{subject.dataset.digest}` ({subject.dataset.name}, {subject.dataset.split} split), by code
`{subject.code_version}`. A slope of 1 and an intercept of 0 are right; ECE stands beside what chance gives a perfectly
calibrated model (mean, 95th percentile).

| finding | AUPRC; prevalence | Brier | calibration slope | calibration intercept | ECE; noise floor |
|---|---|---|---|---|---|
{rows}

## Subgroups

{_subgroups(report)}

## Refusing by typicality

{_refusals(report.refusals)}

## Where the activation maps point

{_localisation(report)}
"""


def model_card(description: ModelDescription, report: EvaluationReport | None = None) -> str:
    """Write the card: data, figures with intervals, operating points, what it must not be used for.

    Args:
        description: What travels with the model.
        report: Its evaluation, whose calibration, subgroups, refusals and localisation are added.
    """
    card = _described(description)
    return card if report is None else card + _judged(report)


def _means(metrics: Mapping[str, float]) -> str:
    if "mean_auroc" not in metrics:
        return "No mean was measured."
    return f"""{metrics["test_radiographs"]:.0f} radiographs of {metrics["test_patients"]:.0f} patients.
Intervals are 95 %, by bootstrap over patients.

Mean AUROC over the {metrics["measured_findings"]:.0f} measured findings:
**{metrics["mean_auroc"]:.3f}** ({metrics["mean_auroc_low"]:.3f} to {metrics["mean_auroc_high"]:.3f});
mean Brier score {metrics["mean_brier"]:.3f}."""


def _origin(origin: Origin | None) -> str:
    """Where imported weights come from; nothing for a model that was trained here."""
    if origin is None:
        return ""
    return f"""
The weights were imported ({origin.kind}) from a file with SHA-256 `{origin.file_sha256}`. What they were trained to be
given: {origin.preprocessing}.
"""


def _described(description: ModelDescription) -> str:
    rows = "\n".join(_row(finding) for finding in description.findings)
    return f"""# Model card: {description.name} {description.version}

DenseNet121, 224x224, fourteen findings.
Written from what travels with the model; do not edit.

## Intended use

{description.intended_use}

## It must not be used for

{_bullets(description.limitations)}

## Data and licences

{_bullets(description.training_data)}

Patients are split into training, validation and test; no patient is in two splits. Labels that are not known
count for nothing in training. The test split was looked at once, for the table below, after everything was chosen.
{_origin(description.origin)}
## Figures on the test split

{_means(description.metrics)}

| finding | positive / negative | AUROC | threshold | sensitivity | specificity |
|---|---:|---|---:|---|---|
{rows}

Do not compare these with figures on other radiographs: they depend on how a sample was gathered.

## Operating points and calibration

Thresholds: {description.operating_points_chosen}. Calibration: {description.calibration}. Both travel
with the model; a threshold of another version means nothing here.

## Typicality

Each answer carries the share of known chest radiographs (validation split) that lie farther from the centre of the
training radiographs, by Mahalanobis distance on the network's features. Near 0 the radiograph is unlike anything
that the model was trained on, and its probabilities mean little.
"""
