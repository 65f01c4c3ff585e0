"""Platt scaling turns a network's logits into probabilities."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class PlattScaling:
    """Platt scaling: probability = sigmoid(scale * logit + offset)."""

    scale: float
    offset: float

    def apply(self, logits: Floats) -> Floats:
        """Turn logits into probabilities."""
        probabilities: Floats = expit(self.scale * logits + self.offset)
        return probabilities


def fit_platt_scaling(labels: Floats, logits: Floats, prior_strength: float = 4.0) -> PlattScaling:
    """Fit Platt scaling with a prior that keeps the scale near 1 where positives are few.

    Source:
        Platt, "Probabilistic outputs for support vector machines", 1999. The prior on log(scale) is ours.
    """

    def loss(parameters: Floats) -> float:
        log_scale, offset = parameters
        # The logarithm keeps the scale positive: a negative scale would turn a finding into its opposite.
        z = np.exp(log_scale) * logits + offset
        # logaddexp, because exp(z) overflows for large logits.
        return float(np.sum(np.logaddexp(0, z) - labels * z) + prior_strength * log_scale**2)

    log_scale, offset = minimize(loss, np.zeros(2), method="BFGS").x
    return PlattScaling(float(np.exp(log_scale)), float(offset))
