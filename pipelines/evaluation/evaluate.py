"""Evaluate a model: measure how well it reads each finding, with intervals."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from pipelines.evaluation.evaluation import (
    Curves,
    Evaluation,
    EvaluationProtocol,
    Figures,
    FindingEvaluation,
    Macro,
    Point,
)
from pipelines.evaluation.scored_radiographs import ScoredRadiographs, calls_at_threshold
from pipelines.statistics.bootstrap import (
    IntervalEstimate,
    aurocs,
    average_precisions,
    centre_draws,
    estimate_interval,
    estimate_share_interval,
    means,
    observed_statistic,
    round_stable,
    shares,
)
from pipelines.statistics.calibration import (
    calibration_errors,
    calibration_intercepts,
    calibration_slopes,
    estimate_noise_floor,
    reliability_bins,
)
from pleura.findings import FINDINGS

Floats = NDArray[np.floating]
_NAMES: Final = (
    *("auroc", "auprc", "sensitivity", "specificity", "ppv", "npv"),
    *("brier", "ece", "calibration_slope", "calibration_intercept"),
)
# The others may not exist: no radiograph is called, or the scores separate the labels.
_REQUIRED: Final = ("auroc", "auprc", "sensitivity", "specificity", "brier", "ece")
_ECE: Final = _NAMES.index("ece")
_CURVE_DECIMALS: Final = 5


def evaluate(
    scored: ScoredRadiographs, thresholds: Sequence[float], protocol: EvaluationProtocol | None = None
) -> Evaluation:
    """Evaluate each finding at the served operating points, with 95 % intervals by bootstrap over patients.

    Args:
        scored: Probabilities and labels; the order of the radiographs does not matter.
        thresholds: The served operating points, one per finding.
        protocol: The rules of the evaluation; the default rules if None.

    Returns:
        The same to the bit for the same radiographs, thresholds and protocol.

    Raises:
        ValueError: The scores cannot be evaluated, or there is not one threshold per finding.
    """
    protocol = protocol or EvaluationProtocol()
    require_probabilities(scored)
    scored = sort_radiographs(scored)
    numbered = list(zip(range(len(FINDINGS)), thresholds, strict=True))

    def statistics(weights: Floats) -> Floats:
        return np.concatenate([_statistics(weights, scored, f, t) for f, t in numbered], axis=1)

    drawn = protocol.bootstrap.draw(statistics, scored.patients).reshape(-1, len(FINDINGS), len(_NAMES))
    findings = [_evaluate_finding(scored, f, t, drawn[:, f], protocol) for f, t in numbered]
    measured = [f for f, finding in enumerate(findings) if finding.figures is not None]
    values = observed_statistic(statistics, len(scored)).reshape(len(FINDINGS), len(_NAMES))
    return Evaluation(
        protocol=protocol,
        radiographs=len(scored),
        patients=len(np.unique(scored.patients)),
        findings=tuple(findings),
        macro=_macro(values[measured], drawn[:, measured]) if measured else None,
    )


def sort_radiographs(scored: ScoredRadiographs) -> ScoredRadiographs:
    """Sort the radiographs, so that their order does not change the evaluation."""
    # Sums of floats depend on their order, and the same radiographs must give the same bytes.
    return scored.rows(np.lexsort((scored.patients, scored.digests)))


def require_probabilities(scored: ScoredRadiographs) -> None:
    """Refuse scores that cannot be evaluated.

    Raises:
        ValueError: There is no radiograph, a probability is NaN or outside [0, 1], or a label is neither
            0, 1 nor NaN.
    """
    probabilities, labels = scored.probabilities, scored.labels
    if not len(scored):
        raise ValueError("there is no radiograph to evaluate on")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("a probability is not a number in [0, 1]")
    if not (np.isnan(labels) | (labels == 0) | (labels == 1)).all():
        raise ValueError("a label is neither present, absent nor unknown")


def _statistics(weights: Floats, scored: ScoredRadiographs, finding: int, threshold: float) -> Floats:
    """Compute all statistics of one finding in each draw, (D, 10), in the order of ``_NAMES``."""
    known = ~np.isnan(scored.labels[:, finding])
    if not known.any():
        return np.full((len(weights), len(_NAMES)), np.nan)
    weights, labels = weights[:, known], scored.labels[known, finding]
    scores = scored.probabilities[known, finding].astype(float)
    # Calls use the scores as they are served: in double precision a score at the threshold may be no call.
    present, called = labels == 1, calls_at_threshold(scored.probabilities[known, finding], threshold)
    columns = (
        aurocs(weights, labels, scores),
        average_precisions(weights, labels, scores),
        shares(weights, called, present),
        shares(weights, ~called, ~present),
        shares(weights, present, called),
        shares(weights, ~present, ~called),
        means(weights, (scores - labels) ** 2),
        calibration_errors(weights, labels, scores),
        calibration_slopes(weights, labels, scores),
        calibration_intercepts(weights, labels, scores),
    )
    return np.column_stack(columns)


def _evaluate_finding(
    scored: ScoredRadiographs, finding: int, threshold: float, drawn: Floats, protocol: EvaluationProtocol
) -> FindingEvaluation:
    known = ~np.isnan(scored.labels[:, finding])
    labels, probabilities = scored.labels[known, finding], scored.probabilities[known, finding]
    positives, negatives = int((labels == 1).sum()), int((labels == 0).sum())
    figures = None
    if min(positives, negatives) >= protocol.minimum_positives:
        values = observed_statistic(lambda w: _statistics(w, scored, finding, threshold), len(scored))
        called = int(calls_at_threshold(probabilities, threshold).sum())
        counts = {
            "sensitivity": positives,
            "specificity": negatives,
            "ppv": called,
            "npv": len(labels) - called,
        }
        estimates = _estimates(values, drawn) | _share_estimates(values, drawn, counts)
        floor = estimate_noise_floor(probabilities.astype(float), values[_ECE], protocol.seed)
        if all(estimates[name] is not None for name in _REQUIRED):
            figures = Figures.model_validate(estimates | {"ece_floor": floor})
    return FindingEvaluation(
        finding=FINDINGS[finding],
        threshold=round_stable(threshold),
        positives=positives,
        negatives=negatives,
        unknown=int((~known).sum()),
        figures=figures,
        curves=None if figures is None else _curves(labels, probabilities.astype(float), protocol),
    )


def _estimates(values: Floats, drawn: Floats) -> dict[str, IntervalEstimate | None]:
    """Give each statistic with its interval, from values (10,) and draws (D, 10)."""
    columns = {name: drawn[:, i] for i, name in enumerate(_NAMES)}
    columns["ece"] = centre_draws(values[_ECE], columns["ece"])
    return {name: estimate_interval(values[i], columns[name]) for i, name in enumerate(_NAMES)}


def _share_estimates(
    values: Floats, drawn: Floats, counts: dict[str, int]
) -> dict[str, IntervalEstimate | None]:
    """Give the statistics that are shares of ``counts`` radiographs with their intervals."""
    return {
        name: estimate_share_interval(values[i], drawn[:, i], counts[name])
        for i, name in enumerate(_NAMES)
        if name in counts
    }


def _macro(values: Floats, drawn: Floats) -> Macro:
    """Average over findings: ``values`` is (F, 10), ``drawn`` (D, F, 10)."""
    estimates = _estimates(values.mean(axis=0), drawn.mean(axis=1))
    return Macro.model_validate({name: estimates[name] for name in Macro.model_fields})


def _curves(labels: Floats, scores: Floats, protocol: EvaluationProtocol) -> Curves:
    false, true, _ = roc_curve(labels, scores)
    precision, recall, _ = precision_recall_curve(labels, scores, drop_intermediate=True)
    return Curves(
        roc=_points(false, true),
        precision_recall=_points(recall[::-1], precision[::-1]),
        reliability=tuple(reliability_bins(labels, scores, protocol.seed)),
    )


def _points(across: Floats, up: Floats) -> tuple[Point, ...]:
    return tuple(
        (round(float(x), _CURVE_DECIMALS), round(float(y), _CURVE_DECIMALS))
        for x, y in zip(across, up, strict=True)
    )
