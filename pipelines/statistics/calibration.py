"""Calibration: does a probability of 30 % mean three in ten?

The module gives the slope and the intercept of a calibration curve, the expected calibration error with the
noise floor that chance alone would give, and the points of a reliability diagram.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from statsmodels.stats.proportion import proportion_confint  # type: ignore[import-untyped]

from pipelines.statistics.bootstrap import ratio, round_stable
from pipelines.statistics.paired import Estimate, Patients, estimate_from_influence

Floats = NDArray[np.floating]
ECE_BINS: Final = 15
_SIMULATIONS: Final = 2_000
_MAX_STEPS: Final = 25
_MAX_SLOPE: Final = 50.0
_SMALLEST: Final = 1e-7


@dataclass(frozen=True)
class NoiseFloor:
    """The calibration error that a perfectly calibrated model would show on as many radiographs.

    ``mean`` and ``high`` (95th percentile) describe that error. ``share_above`` is the share of perfectly
    calibrated models whose error reaches the observed one. It is small where the observed error is more than
    noise.
    """

    mean: float
    high: float
    share_above: float


@dataclass(frozen=True)
class ReliabilityBin:
    """Radiographs of similar probability: the predicted and the observed share of positives.

    ``seen_low`` and ``seen_high`` bound the observed share (Wilson, 95 %). ``noise_low`` and ``noise_high``
    hold 95 % of the shares that perfect calibration would show.
    """

    radiographs: int
    predicted: float
    seen: float
    seen_low: float
    seen_high: float
    noise_low: float
    noise_high: float


@dataclass(frozen=True, eq=False)
class _Lines:
    """Intercepts and slopes (D,) of logistic regressions; NaN where a regression has no solution."""

    intercepts: Floats
    slopes: Floats


@dataclass(frozen=True, eq=False)
class _Curvature:
    """The negative second derivatives (D,) of the log-likelihood: a symmetric 2 x 2 matrix for each draw."""

    intercept: Floats
    both: Floats
    slope: Floats

    @property
    def determinant(self) -> Floats:
        return self.intercept * self.slope - self.both * self.both


def _logits(probabilities: Floats) -> Floats:
    # 0 and 1 have no finite logit.
    clipped = np.clip(probabilities.astype(float), _SMALLEST, 1 - _SMALLEST)
    logits: Floats = logit(clipped)
    return logits


def _curvature(weights: Floats, x: Floats, expected: Floats) -> _Curvature:
    curvature = weights * expected * (1 - expected)
    return _Curvature(curvature.sum(axis=1), curvature @ x, curvature @ (x * x))


def _newton_step(weights: Floats, labels: Floats, x: Floats, lines: _Lines) -> tuple[Floats, Floats]:
    expected = expit(lines.intercepts[:, None] + lines.slopes[:, None] * x)
    residual = weights * (labels - expected)
    g0, g1 = residual.sum(axis=1), residual @ x
    h = _curvature(weights, x, expected)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (h.slope * g0 - h.both * g1) / h.determinant, (h.intercept * g1 - h.both * g0) / h.determinant


def _fit_lines(weights: Floats, labels: Floats, x: Floats) -> _Lines:
    """Regress the labels on the logits ``x`` in each draw, by Newton's method."""
    if np.ptp(x) < _SMALLEST:
        nothing = np.full(len(weights), np.nan)
        return _Lines(nothing, nothing)
    # From a slope of 0: from 1, Newton's method diverged for models whose slope is far from 1.
    lines = _Lines(np.zeros(len(weights)), np.zeros(len(weights)))
    step = np.full(len(weights), np.inf)
    for _ in range(_MAX_STEPS):
        up, steeper = _newton_step(weights, labels, x, lines)
        # If the scores separate the labels, the slope grows without end: it is cut here, and NaN below.
        lines = _Lines(lines.intercepts + up, np.clip(lines.slopes + steeper, -_MAX_SLOPE, _MAX_SLOPE))
        step = np.maximum(np.abs(up), np.abs(steeper))
        if not (step > _SMALLEST).any():
            break
    converged = (step < 1e-3) & (np.abs(lines.slopes) < _MAX_SLOPE)
    return _Lines(np.where(converged, lines.intercepts, np.nan), np.where(converged, lines.slopes, np.nan))


def calibration_slopes(weights: Floats, labels: Floats, probabilities: Floats) -> Floats:
    """Fit the calibration slope in each draw: a logistic regression of the truth on the logit.

    Returns:
        (D,). 1 is right; below 1 the probabilities are too extreme. NaN where there is no slope: all scores
        are equal, or the scores separate the labels perfectly.

    Source:
        Cox, "Two further applications of a model for binary regression", Biometrika 1958.
    """
    return _fit_lines(weights, labels, _logits(probabilities)).slopes


def estimate_calibration_slope(labels: Floats, probabilities: Floats, patients: Patients) -> Estimate | None:
    """Estimate the calibration slope of ``calibration_slopes`` with its standard error, clustered by patient.

    Returns:
        None where there is no slope, or where all radiographs are of one patient.

    Source:
        Van Calster et al., BMC Medicine 2019. The standard error is the sandwich of Liang and Zeger,
        Biometrika 1986, with statsmodels' correction for small samples.
    """
    x, count = _logits(probabilities), len(labels)
    weights = np.ones((1, count))
    lines = _fit_lines(weights, labels, x)
    if not np.isfinite(lines.slopes[0]):
        return None
    expected = expit(lines.intercepts[0] + lines.slopes[0] * x)
    h = _curvature(weights, x, expected)
    influence = (labels - expected) * (h.intercept[0] * x - h.both[0]) / h.determinant[0]
    correction = np.sqrt((count - 1) / (count - 2))
    try:
        return estimate_from_influence(float(lines.slopes[0]), correction * influence, patients)
    except ValueError:  # there is one patient only
        return None


def calibration_intercepts(weights: Floats, labels: Floats, probabilities: Floats) -> Floats:
    """Fit calibration in the large in each draw: the shift of all logits that corrects their mean.

    Returns:
        (D,). 0 is right; above 0 the probabilities are too low. NaN where all labels are equal.

    Source:
        Van Calster et al., "A calibration hierarchy for risk models", J Clin Epidemiol 2016.
    """
    x = _logits(probabilities)
    positives, total = weights @ labels, weights.sum(axis=1)
    shift = np.zeros(len(weights))
    for _ in range(_MAX_STEPS):
        expected = expit(shift[:, None] + x)
        slope = (weights * expected * (1 - expected)).sum(axis=1)
        gap = positives - (weights * expected).sum(axis=1)
        step = np.clip(np.divide(gap, slope, out=np.zeros_like(gap), where=slope > 0), -2, 2)
        shift += step
        if not (np.abs(step) > _SMALLEST).any():
            break
    return np.where((positives > 0) & (positives < total), shift, np.nan)


def _bin_members(probabilities: Floats) -> Floats:
    """Membership in fifteen bins of equal width, (N, 15)."""
    # A probability of 1 belongs to the last bin.
    bins = np.minimum((probabilities * ECE_BINS).astype(int), ECE_BINS - 1)
    members: Floats = np.eye(ECE_BINS)[bins]
    return members


def calibration_errors(weights: Floats, labels: Floats, probabilities: Floats) -> Floats:
    """Compute the expected calibration error in each draw, over fifteen bins of equal width.

    Source:
        Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    gaps = (labels - probabilities)[:, None] * _bin_members(probabilities)
    return ratio(np.abs(weights @ gaps).sum(axis=1), weights.sum(axis=1))


def _simulate_labels(probabilities: Floats, seed: int) -> Floats:
    """Draw labels as a perfectly calibrated model predicts them, (simulations, N)."""
    rng = np.random.default_rng(seed)
    return (rng.random((_SIMULATIONS, len(probabilities))) < probabilities).astype(float)


def estimate_noise_floor(probabilities: Floats, error: float, seed: int) -> NoiseFloor:
    """Estimate the calibration error that chance gives these probabilities, and compare ``error`` with it."""
    # An ECE alone says little: on 1,000 radiographs chance gives a perfectly calibrated model about 0.02.
    gaps = _simulate_labels(probabilities, seed) - probabilities
    errors = np.abs(gaps @ _bin_members(probabilities)).sum(axis=1) / len(probabilities)
    return NoiseFloor(
        mean=round_stable(errors.mean()),
        high=round_stable(np.percentile(errors, 95)),
        share_above=round_stable(np.mean(errors >= error)),
    )


def reliability_bins(labels: Floats, probabilities: Floats, seed: int, bins: int = 8) -> list[ReliabilityBin]:
    """Compute the points of a reliability diagram: bins of equal size, with bands of noise."""
    order = np.argsort(probabilities, kind="stable")
    simulated = _simulate_labels(probabilities, seed)
    return [
        _reliability_bin(labels[rows], probabilities[rows], simulated[:, rows].mean(axis=1))
        for rows in np.array_split(order, min(bins, len(order)))
    ]


def _reliability_bin(labels: Floats, probabilities: Floats, simulated_shares: Floats) -> ReliabilityBin:
    low, high = proportion_confint(labels.sum(), len(labels), method="wilson")
    noise_low, noise_high = np.percentile(simulated_shares, (2.5, 97.5))
    return ReliabilityBin(
        radiographs=len(labels),
        predicted=round_stable(probabilities.mean()),
        seen=round_stable(labels.mean()),
        seen_low=round_stable(low),
        seen_high=round_stable(high),
        noise_low=round_stable(noise_low),
        noise_high=round_stable(noise_high),
    )
