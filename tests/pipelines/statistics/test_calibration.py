"""Calibration, compared with the regressions of statsmodels."""

import numpy as np
import pytest
import statsmodels.api as sm  # type: ignore[import-untyped]
from scipy.special import expit, logit

from pipelines.statistics.bootstrap import Bootstrap
from pipelines.statistics.calibration import (
    calibration_errors,
    calibration_intercepts,
    calibration_slopes,
    estimate_calibration_slope,
    estimate_noise_floor,
    reliability_bins,
)


def _sample(n: int = 500, slope: float = 1.0, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities whose truth is ``expit(slope * logit + shift)``."""
    rng = np.random.default_rng(2)
    logits = rng.normal(-1, 1.2, n)
    labels = (rng.random(n) < expit(slope * logits + shift)).astype(float)
    return labels, expit(logits)


def test_slope_and_intercept_are_those_of_statsmodels() -> None:
    """In every draw both regressions find what a second implementation finds."""
    labels, probabilities = _sample()
    patients = np.array([f"p{i // 2}" for i in range(len(labels))])
    weights = next(Bootstrap(4).weights(patients))
    x = logit(probabilities)
    found = (
        calibration_slopes(weights, labels, probabilities),
        calibration_intercepts(weights, labels, probabilities),
    )
    for row, slope, shift in zip(weights, *found, strict=True):
        family = sm.families.Binomial()
        line = sm.GLM(labels, sm.add_constant(x), family=family, freq_weights=row).fit()
        level = sm.GLM(labels, np.ones(len(x)), family=family, freq_weights=row, offset=x).fit()
        assert slope == pytest.approx(line.params[1], abs=1e-6)
        assert shift == pytest.approx(level.params[0], abs=1e-6)


@pytest.mark.parametrize(("slope", "shift"), [(0.5, 0.0), (1.5, -0.4)])
def test_a_known_distortion_is_found(slope: float, shift: float) -> None:
    """With enough radiographs the slope is the one that the truth was made with."""
    labels, probabilities = _sample(20_000, slope, shift)
    assert calibration_slopes(np.ones((1, 20_000)), labels, probabilities)[0] == pytest.approx(
        slope, abs=0.06
    )


def test_there_is_no_slope_where_there_is_no_line() -> None:
    """Equal scores and perfectly separated ones have no slope; one class only has no intercept."""
    ones, labels = np.ones((1, 100)), np.repeat([0.0, 1.0], 50)
    assert np.isnan(calibration_slopes(ones, labels, np.full(100, 0.3))).all()
    assert np.isnan(calibration_slopes(ones, labels, np.linspace(0.01, 0.99, 100))).all()
    assert np.isnan(calibration_intercepts(ones, np.ones(100), np.full(100, 0.3))).all()


def test_certain_probabilities_give_numbers() -> None:
    """Exactly 0 and 1 neither divide by zero nor end as NaN."""
    labels, probabilities = _sample()
    probabilities[:3], probabilities[3:6] = 0.0, 1.0
    assert np.isfinite(calibration_slopes(np.ones((1, 500)), labels, probabilities)).all()
    assert np.isfinite(calibration_intercepts(np.ones((1, 500)), labels, probabilities)).all()


def test_the_calibration_error_by_hand() -> None:
    """Two bins, off by 0.1 and by 0.3, hold half of the radiographs each: 0.2."""
    labels = np.array([0, 0, 0, 0, 1, 1, 0, 0, 1, 0], float)
    probabilities = np.array([0.1] * 5 + [0.61] * 5)
    expected = (abs(1 - 0.5) + abs(2 - 3.05)) / 10
    assert calibration_errors(np.ones((1, 10)), labels, probabilities)[0] == pytest.approx(expected)


def test_perfect_calibration_shows_an_error_too() -> None:
    """A perfectly calibrated model on 1,000 radiographs of rare findings shows about 0.02, by chance."""
    rng = np.random.default_rng(0)
    probabilities = rng.beta(1, 9, 1_000)
    labels = (rng.random(1_000) < probabilities).astype(float)
    error = calibration_errors(np.ones((1, 1_000)), labels, probabilities)[0]
    floor = estimate_noise_floor(probabilities, error, seed=1)
    assert floor.mean == pytest.approx(0.02, abs=0.003)
    assert floor.share_above > 0.05
    far_off = estimate_noise_floor(probabilities, 0.1, seed=1)
    assert far_off.share_above == 0
    assert far_off.high < 0.1


def test_the_reliability_diagram_holds_everybody_once() -> None:
    """Bins are of one size, in rising order, and the band of noise holds what calibration predicts."""
    labels, probabilities = _sample()
    bins = reliability_bins(labels, probabilities, seed=1)
    assert sum(each.radiographs for each in bins) == 500
    assert [each.predicted for each in bins] == sorted(each.predicted for each in bins)
    for each in bins:
        assert each.noise_low <= each.predicted <= each.noise_high
        assert each.seen_low <= each.seen <= each.seen_high
    assert sum(each.noise_low <= each.seen <= each.noise_high for each in bins) >= 7


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (0.3, 0.5), (-0.5, 0.0)])
def test_the_clustered_standard_error_is_that_of_statsmodels(slope: float, shift: float) -> None:
    """Slope and standard error equal a logistic regression of statsmodels, clustered by patient."""
    labels, probabilities = _sample(slope=slope, shift=shift)
    patients = np.arange(len(labels)) // 3
    found = estimate_calibration_slope(labels, probabilities, patients)
    design = sm.add_constant(logit(probabilities))
    expected = sm.Logit(labels, design).fit(disp=0, cov_type="cluster", cov_kwds={"groups": patients})
    assert found is not None
    assert found.value == pytest.approx(expected.params[1], abs=1e-6)
    assert found.standard_error == pytest.approx(expected.bse[1], abs=1e-6)


def test_one_patient_gives_no_standard_error() -> None:
    """All radiographs of one patient tell nothing of how patients vary."""
    labels, probabilities = _sample()
    assert estimate_calibration_slope(labels, probabilities, np.zeros(len(labels), int)) is None
