"""The evaluation of a model: how well each finding is read, and how sure one can be of that."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.metrics import precision_recall_curve, roc_curve

from pipelines.evaluation.scored_radiographs import ScoredRadiographs
from pipelines.evaluation.subgroups import AGE_BOUNDS
from pipelines.statistics.bootstrap import (
    Bootstrap,
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
    NoiseFloor,
    ReliabilityBin,
    calibration_errors,
    calibration_intercepts,
    calibration_slopes,
    estimate_noise_floor,
    reliability_bins,
)
from pipelines.value import Value
from pleura.findings import FINDINGS

Floats = NDArray[np.floating]
Point = tuple[float, float]
_NAMES: Final = (
    *("auroc", "auprc", "sensitivity", "specificity", "ppv", "npv"),
    *("brier", "ece", "calibration_slope", "calibration_intercept"),
)
_CURVE_DECIMALS: Final = 5


class EvaluationProtocol(Value):
    """What a evaluation depends on besides the radiographs: fixed before they are read.

    A finding with fewer positives or negatives than ``minimum_positives`` is unmeasured; a subgroup needs
    ``subgroup_minimum_positives``, and so does the rest that it is compared with.
    """

    draws: int = Field(default=2_000, ge=100)
    seed: int = 1
    minimum_positives: int = Field(default=20, ge=2)
    subgroup_minimum_positives: int = Field(default=50, ge=2)
    age_bands: tuple[float, ...] = (0.0, *AGE_BOUNDS)
    typicality_thresholds: tuple[float, ...] = (0.01, 0.02, 0.05, 0.1)

    @property
    def bootstrap(self) -> Bootstrap:
        """How intervals are found."""
        return Bootstrap(self.draws, self.seed)


class Figures(Value):
    """What was measured of one finding; PPV and NPV hold at the prevalence of these radiographs only.

    ``auprc`` is to be read beside that prevalence, which guessing reaches; ``ece`` beside its noise floor. As
    resampling adds noise to ``ece``, its interval is brought back to lie around the value.
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
    """What plots show: points (1 - specificity, sensitivity) and (recall, precision), and reliability."""

    roc: tuple[Point, ...]
    precision_recall: tuple[Point, ...]
    reliability: tuple[ReliabilityBin, ...]


class FindingEvaluation(Value):
    """One finding on the radiographs where it is known; ``figures`` is None where it is unmeasured."""

    finding: str
    threshold: float
    positives: int
    negatives: int
    unknown: int
    figures: Figures | None
    curves: Curves | None

    @property
    def prevalence(self) -> float:
        """The share of positives among what is known; NaN where nothing is."""
        known = self.positives + self.negatives
        return self.positives / known if known else float("nan")

    @property
    def status(self) -> Literal["measured", "unmeasured"]:
        """Whether there are figures."""
        return "unmeasured" if self.figures is None else "measured"


class Macro(Value):
    """Plain means over the measured findings."""

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
        """The bytes that are stored, the same for the same evaluation."""
        return (self.model_dump_json(indent=1) + "\n").encode()

    @property
    def measured(self) -> tuple[FindingEvaluation, ...]:
        """The findings that have figures."""
        return tuple(finding for finding in self.findings if finding.figures is not None)


def sort_radiographs(scored: ScoredRadiographs) -> ScoredRadiographs:
    """The same radiographs in the one order that a evaluation reads them in."""
    return scored.rows(np.lexsort((scored.patients, scored.digests)))


def called(scored: ScoredRadiographs, finding: int, threshold: float) -> NDArray[np.bool_]:
    """Which radiographs are called positive, compared in float32 as the service does."""
    reached = scored.probabilities[:, finding].astype(np.float32) >= np.float32(threshold)
    return np.asarray(reached, np.bool_)


def _statistics(weights: Floats, scored: ScoredRadiographs, finding: int, threshold: float) -> Floats:
    """All statistics of one finding in each draw, (D, 10), in the order of ``_NAMES``."""
    known = ~np.isnan(scored.labels[:, finding])
    if not known.any():
        return np.full((len(weights), len(_NAMES)), np.nan)
    weights, labels = weights[:, known], scored.labels[known, finding]
    scores = scored.probabilities[known, finding].astype(float)
    present, yes = labels == 1, called(scored, finding, threshold)[known]
    columns = (
        aurocs(weights, labels, scores),
        average_precisions(weights, labels, scores),
        shares(weights, yes, present),
        shares(weights, ~yes, ~present),
        shares(weights, present, yes),
        shares(weights, ~present, ~yes),
        means(weights, (scores - labels) ** 2),
        calibration_errors(weights, labels, scores),
        calibration_slopes(weights, labels, scores),
        calibration_intercepts(weights, labels, scores),
    )
    return np.column_stack(columns)


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


def _named(values: Floats, drawn: Floats) -> dict[str, IntervalEstimate | None]:
    """Figures by name, from values (10,) and draws (D, 10)."""
    columns = {name: drawn[:, i] for i, name in enumerate(_NAMES)}
    columns["ece"] = centre_draws(values[_NAMES.index("ece")], columns["ece"])
    return {name: estimate_interval(values[i], columns[name]) for i, name in enumerate(_NAMES)}


def _figures(values: Floats, drawn: Floats, among: Mapping[str, int], floor: NoiseFloor) -> Figures | None:
    """Figures of one finding; ``among`` says of how many radiographs each of the shares is."""
    named = _named(values, drawn)
    for name, of in among.items():
        place = _NAMES.index(name)
        named[name] = estimate_share_interval(values[place], drawn[:, place], of)
    needed = ("auroc", "auprc", "sensitivity", "specificity", "brier", "ece")
    if any(named[name] is None for name in needed):
        return None
    return Figures.model_validate(named | {"ece_floor": floor})


def _judge_finding(
    scored: ScoredRadiographs, finding: int, threshold: float, drawn: Floats, protocol: EvaluationProtocol
) -> FindingEvaluation:
    known = ~np.isnan(scored.labels[:, finding])
    labels, scores = scored.labels[known, finding], scored.probabilities[known, finding].astype(float)
    positives, negatives = int((labels == 1).sum()), int((labels == 0).sum())
    figures = None
    if min(positives, negatives) >= protocol.minimum_positives:
        values = observed_statistic(lambda w: _statistics(w, scored, finding, threshold), len(scored))
        floor = estimate_noise_floor(scores, values[_NAMES.index("ece")], protocol.seed)
        yes = int(called(scored, finding, threshold)[known].sum())
        among = {"sensitivity": positives, "specificity": negatives, "ppv": yes, "npv": len(labels) - yes}
        figures = _figures(values, drawn, among, floor)
    return FindingEvaluation(
        finding=FINDINGS[finding],
        threshold=round_stable(threshold),
        positives=positives,
        negatives=negatives,
        unknown=int((~known).sum()),
        figures=figures,
        curves=None if figures is None else _curves(labels, scores, protocol),
    )


def _macro(values: Floats, drawn: Floats) -> Macro:
    """Means over findings: ``values`` is (F, 10), ``drawn`` (D, F, 10)."""
    named = _named(values.mean(axis=0), drawn.mean(axis=1))
    return Macro.model_validate({name: named[name] for name in Macro.model_fields})


def require_probabilities(scored: ScoredRadiographs) -> None:
    """Refuse scores that cannot be judged.

    Raises:
        ValueError: There is no radiograph, a probability is NaN or outside [0, 1], or a label is neither
            0, 1 nor NaN.
    """
    probabilities, labels = scored.probabilities, scored.labels
    if not len(scored):
        raise ValueError("there is no radiograph to judge on")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("a probability is no number in [0, 1]")
    if not (np.isnan(labels) | (labels == 0) | (labels == 1)).all():
        raise ValueError("a label is neither present, absent nor unknown")


def evaluate(
    scored: ScoredRadiographs, thresholds: Sequence[float], protocol: EvaluationProtocol | None = None
) -> Evaluation:
    """Judge each finding at the served operating points, with 95 % intervals by bootstrap over patients.

    Args:
        scored: What the model says beside what is known; the order of rows changes nothing.
        thresholds: The served operating points, one per finding.
        protocol: What the evaluation depends on besides; the default one if None.

    Returns:
        The same to the bit for the same radiographs, thresholds and protocol.

    Raises:
        ValueError: The scores cannot be judged, or there is not one threshold per finding.
    """
    protocol = protocol or EvaluationProtocol()
    require_probabilities(scored)
    scored = sort_radiographs(scored)
    places = list(zip(range(len(FINDINGS)), thresholds, strict=True))

    def statistics(weights: Floats) -> Floats:
        return np.concatenate([_statistics(weights, scored, f, t) for f, t in places], axis=1)

    drawn = protocol.bootstrap.drawn(statistics, scored.patients).reshape(-1, len(FINDINGS), len(_NAMES))
    findings = [_judge_finding(scored, f, t, drawn[:, f], protocol) for f, t in places]
    measured = [f for f, finding in enumerate(findings) if finding.figures is not None]
    values = observed_statistic(statistics, len(scored)).reshape(len(FINDINGS), len(_NAMES))
    return Evaluation(
        protocol=protocol,
        radiographs=len(scored),
        patients=len(np.unique(scored.patients)),
        findings=tuple(findings),
        macro=_macro(values[measured], drawn[:, measured]) if measured else None,
    )
