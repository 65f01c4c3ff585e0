"""The choice of a threshold."""

import numpy as np
import pytest
from scipy.special import expit

from pipelines.statistics.operating_point import choose_threshold, sensitivity, specificity


def test_the_threshold_balances_sensitivity_and_specificity() -> None:
    """At the chosen threshold both are nearly equal."""
    rng = np.random.default_rng(0)
    labels = (rng.random(2000) < 0.3).astype(float)
    scores = expit(rng.normal(labels))
    threshold = choose_threshold(labels, scores)
    found, spared = sensitivity(labels, scores, threshold), specificity(labels, scores, threshold)
    assert found == pytest.approx(spared, abs=0.01)


def test_sensitivity_and_specificity_are_shares() -> None:
    """A score at the threshold is a call: two of three positives, and one of two negatives."""
    labels = np.array([1.0, 1.0, 1.0, 0.0, 0.0])
    scores = np.array([0.9, 0.5, 0.4, 0.5, 0.1])
    assert sensitivity(labels, scores, 0.5) == pytest.approx(2 / 3)
    assert specificity(labels, scores, 0.5) == 0.5
