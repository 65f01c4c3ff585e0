"""The threshold at which a finding is called, with the sensitivity and specificity that it gives."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

Floats = NDArray[np.floating]


def sensitivity(labels: Floats, scores: Floats, threshold: float) -> float:
    """Compute the share of positives whose score reaches the threshold."""
    return float(np.mean(scores[labels == 1] >= threshold))


def specificity(labels: Floats, scores: Floats, threshold: float) -> float:
    """Compute the share of negatives whose score stays below the threshold."""
    return float(np.mean(scores[labels == 0] < threshold))


def choose_threshold(labels: Floats, scores: Floats) -> float:
    """Choose the threshold at which sensitivity and specificity are closest to each other."""
    # scikit-learn drops points on straight parts of the curve, and the best threshold may be one of them.
    false_positives, true_positives, thresholds = roc_curve(labels, scores, drop_intermediate=False)
    best = int(np.argmin(np.abs(true_positives - (1 - false_positives))))
    below = scores[scores < thresholds[best]]
    # Halfway to the next lower score: rounding in another engine then moves no radiograph over the threshold.
    return float((thresholds[best] + below.max()) / 2) if below.size else float(thresholds[best])
