"""Figures that say how well findings are read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from pipelines.statistics.operating_points import (
    auroc,
    brier,
    choose_operating_point,
    fit_platt_scaling,
    interval,
    resampled,
    sensitivity_at,
    specificity_at,
)


def _sample(n: int = 400, shift: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.3).astype(float)
    return labels, rng.normal(shift * labels)


def test_a_patients_radiographs_are_drawn_together() -> None:
    """In each draw every patient's radiographs appear equally often."""
    patients = np.array(["a", "a", "a", "b", "c", "c"])
    for draw in resampled(patients, 50, seed=3):
        counts = np.bincount(draw, minlength=6)
        assert len({*counts[:3]}) == 1
        assert counts[4] == counts[5]


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Over many samples the 95 % interval of the AUROC holds the true value in about 95 %."""
    truth, held = 0.7602, 0
    for seed in range(40):
        labels, scores = _sample(seed=seed)
        patients = np.arange(len(labels)).astype(str)
        found = interval(auroc, labels, scores, resampled(patients, 100, seed))
        assert found.low <= found.value <= found.high
        held += found.low <= truth <= found.high
    assert held >= 34


def test_the_operating_point_balances_sensitivity_and_specificity() -> None:
    """At the chosen threshold both are nearly equal, and as stated."""
    labels, logits = _sample(2000)
    point = choose_operating_point(labels, expit(logits))
    assert point.sensitivity == pytest.approx(point.specificity, abs=0.01)
    assert point.sensitivity == sensitivity_at(point.threshold)(labels, expit(logits))
    assert point.specificity == specificity_at(point.threshold)(labels, expit(logits))


@given(st.floats(0.3, 3.0), st.floats(-2.0, 2.0))
def test_calibration_undoes_a_known_distortion(scale: float, offset: float) -> None:
    """Logits that were stretched and shifted get their slope and offset back, with enough data."""
    rng = np.random.default_rng(1)
    true_logits = rng.normal(-1.0, 1.5, 5_000)
    labels = (rng.random(5_000) < expit(true_logits)).astype(float)
    fitted = fit_platt_scaling(labels, (true_logits - offset) / scale)
    assert fitted.scale == pytest.approx(scale, rel=0.2)
    assert fitted.offset == pytest.approx(offset, abs=0.3)


def test_calibration_with_few_positives_stays_near_the_network() -> None:
    """Three positives that happen to be separated do not make the network certain."""
    labels, logits = np.array([0.0] * 100 + [1.0] * 3), np.linspace(-2, 2, 103)
    assert fit_platt_scaling(labels, logits).scale < 5


def test_brier_is_the_mean_squared_error() -> None:
    """A certain and wrong answer costs 1, an undecided one a quarter."""
    assert brier(np.array([0.0, 1.0]), np.array([1.0, 1.0])) == 0.5
    assert brier(np.array([0.0, 1.0]), np.array([0.5, 0.5])) == 0.25
