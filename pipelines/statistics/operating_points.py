"""How well scores separate what is present from what is absent, with patient-level intervals."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.metrics import roc_auc_score, roc_curve

from pleura.bundle import Interval, OperatingPoint

Floats = NDArray[np.floating]
Statistic = Callable[[Floats, Floats], float]


@dataclass(frozen=True)
class PlattScaling:
    """Platt scaling: probability = sigmoid(scale * logit + offset)."""

    scale: float
    offset: float

    def apply(self, logits: Floats) -> Floats:
        """Give probabilities."""
        probabilities: Floats = expit(self.scale * logits + self.offset)
        return probabilities


def auroc(labels: Floats, scores: Floats) -> float:
    """Area under the receiver operating characteristic."""
    return float(roc_auc_score(labels, scores))


def sensitivity_at(threshold: float) -> Statistic:
    """The share of positives whose score reaches the threshold."""
    return lambda labels, scores: float(np.mean(scores[labels == 1] >= threshold))


def specificity_at(threshold: float) -> Statistic:
    """The share of negatives whose score stays below the threshold."""
    return lambda labels, scores: float(np.mean(scores[labels == 0] < threshold))


def resampled(patients: NDArray[np.str_], rounds: int, seed: int) -> list[NDArray[np.intp]]:
    """Draw row indices by drawing patients with replacement; a patient's radiographs stay together."""
    rng = np.random.default_rng(seed)
    _, group = np.unique(patients, return_inverse=True)
    rows = [np.flatnonzero(group == g) for g in range(group.max() + 1)]
    return [np.concatenate([rows[g] for g in rng.integers(len(rows), size=len(rows))]) for _ in range(rounds)]


def interval(statistic: Statistic, labels: Floats, scores: Floats, draws: list[NDArray[np.intp]]) -> Interval:
    """Give a statistic with its 95 % percentile interval over patient-level bootstrap draws.

    Draws without a positive or without a negative are left out.
    """
    values = [statistic(labels[d], scores[d]) for d in draws if 0 < labels[d].sum() < len(d)]
    low, high = np.percentile(values, (2.5, 97.5))
    return Interval(value=statistic(labels, scores), low=float(low), high=float(high))


def fit_platt_scaling(labels: Floats, logits: Floats, prior_strength: float = 4.0) -> PlattScaling:
    """Fit Platt scaling, with a prior that keeps the scale near 1 where positives are few.

    Source:
        Platt, "Probabilistic outputs for support vector machines", 1999; the prior on log(scale) is ours.
    """

    def loss(parameters: Floats) -> float:
        log_scale, offset = parameters
        z = np.exp(log_scale) * logits + offset
        return float(np.sum(np.logaddexp(0, z) - labels * z) + prior_strength * log_scale**2)

    log_scale, offset = minimize(loss, np.zeros(2), method="BFGS").x
    return PlattScaling(float(np.exp(log_scale)), float(offset))


def choose_operating_point(labels: Floats, scores: Floats) -> OperatingPoint:
    """Choose the threshold at which sensitivity and specificity are closest to each other."""
    false_positives, true_positives, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    best = int(np.argmin(np.abs(true_positives - (1 - false_positives))))
    below = scores[scores < thresholds[best]]
    # Halfway to the next lower score, so that rounding in another engine moves nobody over the line.
    threshold = float((thresholds[best] + below.max()) / 2) if below.size else float(thresholds[best])
    return OperatingPoint(
        threshold=threshold,
        sensitivity=sensitivity_at(threshold)(labels, scores),
        specificity=specificity_at(threshold)(labels, scores),
    )


def brier(labels: Floats, probabilities: Floats) -> float:
    """Mean squared difference between probability and truth."""
    return float(np.mean((probabilities - labels) ** 2))
