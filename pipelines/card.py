"""The model card, in Markdown, from the description that travels with the model."""

from pleura.bundle import FindingDescription, Interval, ModelDescription


def _figure(interval: Interval | None) -> str:
    if interval is None:
        return "unmeasured"
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _row(finding: FindingDescription) -> str:
    cells = (
        finding.name.replace("_", " "),
        f"{finding.test_positives} / {finding.test_negatives}",
        _figure(finding.auroc),
        f"{finding.operating_point.threshold:.3f}",
        _figure(finding.sensitivity),
        _figure(finding.specificity),
    )
    return f"| {' | '.join(cells)} |"


def _bullets(lines: tuple[str, ...]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def model_card(description: ModelDescription) -> str:
    """Write the card: data, figures with intervals, operating points, what it must not be used for."""
    metrics = description.metrics
    rows = "\n".join(_row(finding) for finding in description.findings)
    return f"""# Model card: {description.name} {description.version}

DenseNet121, one channel, 224x224, fourteen findings, trained from random weights.
Written by `python -m pipelines export`; do not edit.

## Intended use

{description.intended_use}

## It must not be used for

{_bullets(description.limitations)}

## Data and licences

{_bullets(description.training_data)}

Patients are split 80/8/12 into training, validation and test; no patient is in two splits. Labels that are not known
count for nothing in training. The test split was looked at once, for the table below, after everything was chosen.

## Figures on the test split

{metrics["test_radiographs"]:.0f} radiographs of {metrics["test_patients"]:.0f} patients (NIH ChestX-ray14 only).
Intervals are 95 %, by bootstrap over patients (2,000 draws; 500 for the mean).

Mean AUROC over the {metrics["measured_findings"]:.0f} measured findings:
**{metrics["mean_auroc"]:.3f}** ({metrics["mean_auroc_low"]:.3f} to {metrics["mean_auroc_high"]:.3f});
mean Brier score {metrics["mean_brier"]:.3f}.

| finding | positive / negative | AUROC | threshold | sensitivity | specificity |
|---|---:|---|---:|---|---|
{rows}

Do not compare these with figures on other splits of ChestX-ray14: this sample is small and enriched.

## Operating points and calibration

Thresholds: {description.operating_points_chosen}. Calibration: {description.calibration}. Both travel
with the model; a threshold of another version means nothing here.

## Typicality

Each answer carries the share of known chest radiographs (validation split) that lie farther from the centre of the
training radiographs, by Mahalanobis distance on the network's features. Near 0 the radiograph is unlike anything
that the model was trained on, and its probabilities mean little.
"""
