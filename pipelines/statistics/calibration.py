"""Whether a probability of 30 % means three in ten: slope, intercept, and error against its noise floor."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from statsmodels.stats.proportion import proportion_confint  # type: ignore[import-untyped]

from pipelines.statistics.bootstrap import ratio, round_stable
from pipelines.value import Value

Floats = NDArray[np.floating]
ECE_BINS: Final = 15
_SIMULATIONS: Final = 2_000
_STEPS: Final = 25
_STEEPEST: Final = 50.0
_SMALLEST: Final = 1e-7


class NoiseFloor(Value):
    """The calibration error that a perfectly calibrated model would show on as many radiographs.

    ``share_above`` is the share of such models whose error reaches the one observed: small where the
    observed error is more than noise.
    """

    mean: float
    high: float
    share_above: float


class ReliabilityBin(Value):
    """Radiographs of similar probability: what was predicted, what was seen, and what noise explains.

    ``seen_low`` and ``seen_high`` bound the share of positives (Wilson, 95 %); ``noise_low`` and
    ``noise_high`` hold 95 % of the shares that perfect calibration would show.
    """

    radiographs: int
    predicted: float
    seen: float
    seen_low: float
    seen_high: float
    noise_low: float
    noise_high: float


@dataclass(frozen=True, eq=False)
class _Line:
    """Intercepts and slopes (D,) of logistic regressions."""

    intercepts: Floats
    slopes: Floats


def _logits(probabilities: Floats) -> Floats:
    clipped = np.clip(probabilities.astype(float), _SMALLEST, 1 - _SMALLEST)
    logits: Floats = logit(clipped)
    return logits


def _newton_step(weights: Floats, labels: Floats, x: Floats, line: _Line) -> tuple[Floats, Floats]:
    expected = expit(line.intercepts[:, None] + line.slopes[:, None] * x)
    residual = weights * (labels - expected)
    curvature = weights * expected * (1 - expected)
    g0, g1 = residual.sum(axis=1), residual @ x
    h0, h1, h2 = curvature.sum(axis=1), curvature @ x, curvature @ (x * x)
    with np.errstate(invalid="ignore", divide="ignore"):
        determinant = h0 * h2 - h1 * h1
        return (h2 * g0 - h1 * g1) / determinant, (h0 * g1 - h1 * g0) / determinant


def calibration_slopes(weights: Floats, labels: Floats, probabilities: Floats) -> Floats:
    """Calibration slope in each draw: logistic regression of the truth on the logit; 1 is right.

    Below 1 the probabilities are too extreme. NaN where there is none: all scores equal, or the draw
    perfectly separated.

    Source:
        Cox, "Two further applications of a model for binary regression", Biometrika 1958.
    """
    x = _logits(probabilities)
    if np.ptp(x) < _SMALLEST:
        return np.full(len(weights), np.nan)
    line = _Line(np.zeros(len(weights)), np.ones(len(weights)))
    step = np.full(len(weights), np.inf)
    for _ in range(_STEPS):
        up, steeper = _newton_step(weights, labels, x, line)
        line = _Line(line.intercepts + up, np.clip(line.slopes + steeper, -_STEEPEST, _STEEPEST))
        step = np.maximum(np.abs(up), np.abs(steeper))
        if not (step > _SMALLEST).any():
            break
    converged = (step < 1e-3) & (np.abs(line.slopes) < _STEEPEST)
    return np.where(converged, line.slopes, np.nan)


def calibration_intercepts(weights: Floats, labels: Floats, probabilities: Floats) -> Floats:
    """Calibration in the large, in each draw: the shift of all logits that sets their mean right.

    0 is right; above 0 the model says too little. NaN where all are positive, or all negative.

    Source:
        Van Calster et al., "A calibration hierarchy for risk models", J Clin Epidemiol 2016.
    """
    x = _logits(probabilities)
    positives, total = weights @ labels, weights.sum(axis=1)
    shift = np.zeros(len(weights))
    for _ in range(_STEPS):
        expected = expit(shift[:, None] + x)
        slope = (weights * expected * (1 - expected)).sum(axis=1)
        gap = positives - (weights * expected).sum(axis=1)
        step = np.clip(np.divide(gap, slope, out=np.zeros_like(gap), where=slope > 0), -2, 2)
        shift += step
        if not (np.abs(step) > _SMALLEST).any():
            break
    return np.where((positives > 0) & (positives < total), shift, np.nan)


def _in_bins(probabilities: Floats) -> Floats:
    """Membership in fifteen bins of equal width, (N, 15)."""
    bins = np.minimum((probabilities * ECE_BINS).astype(int), ECE_BINS - 1)
    members: Floats = np.eye(ECE_BINS)[bins]
    return members


def calibration_errors(weights: Floats, labels: Floats, probabilities: Floats) -> Floats:
    """Expected calibration error in each draw, over fifteen bins of equal width.

    Source:
        Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    gaps = (labels - probabilities)[:, None] * _in_bins(probabilities)
    return ratio(np.abs(weights @ gaps).sum(axis=1), weights.sum(axis=1))


def _simulated(probabilities: Floats, seed: int) -> Floats:
    """Labels of perfectly calibrated models, (simulations, N)."""
    rng = np.random.default_rng(seed)
    return (rng.random((_SIMULATIONS, len(probabilities))) < probabilities).astype(float)


def estimate_noise_floor(probabilities: Floats, error: float, seed: int) -> NoiseFloor:
    """Say which calibration error chance alone gives these probabilities, and whether ``error`` is more."""
    gaps = _simulated(probabilities, seed) - probabilities
    errors = np.abs(gaps @ _in_bins(probabilities)).sum(axis=1) / len(probabilities)
    return NoiseFloor(
        mean=round_stable(errors.mean()),
        high=round_stable(np.percentile(errors, 95)),
        share_above=round_stable(np.mean(errors >= error)),
    )


def reliability_bins(labels: Floats, probabilities: Floats, seed: int, bins: int = 8) -> list[ReliabilityBin]:
    """The points of a reliability diagram: bins of as many radiographs each, with bands of noise."""
    order = np.argsort(probabilities, kind="stable")
    simulated = _simulated(probabilities, seed)
    return [
        _bin(labels[rows], probabilities[rows], simulated[:, rows].mean(axis=1))
        for rows in np.array_split(order, min(bins, len(order)))
    ]


def _bin(labels: Floats, probabilities: Floats, under_noise: Floats) -> ReliabilityBin:
    low, high = proportion_confint(labels.sum(), len(labels), method="wilson")
    noise_low, noise_high = np.percentile(under_noise, (2.5, 97.5))
    return ReliabilityBin(
        radiographs=len(labels),
        predicted=round_stable(probabilities.mean()),
        seen=round_stable(labels.mean()),
        seen_low=round_stable(low),
        seen_high=round_stable(high),
        noise_low=round_stable(noise_low),
        noise_high=round_stable(noise_high),
    )
