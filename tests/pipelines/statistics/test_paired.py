"""Bounds of paired differences: published formulas, patients, and twenty radiographs that all agree."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.statistics.paired import Estimate, estimate_from_influence, mean_difference, share_difference
from tests.support.pipelines.row_draws import draw_rows


def _alone(count: int) -> np.ndarray:
    return np.arange(count).astype(str)


@given(
    both=st.integers(0, 30), gained=st.integers(0, 20), lost=st.integers(0, 20), neither=st.integers(0, 30)
)
def test_shares_have_bonett_and_prices_interval(both: int, gained: int, lost: int, neither: int) -> None:
    """With a patient for each radiograph, but for the factor n / (n - 1), it is their formula."""
    counts = [both, gained, lost, neither]
    total = sum(counts)
    if not total:
        return
    old = np.repeat([True, False, True, False], counts)
    new = np.repeat([True, True, False, False], counts)
    found = share_difference(old, new, _alone(total))
    up, down = (gained + 1) / (total + 2), (lost + 1) / (total + 2)
    error = ((up + down - (up - down) ** 2) / (total + 2)) ** 0.5
    assert found.value == pytest.approx(up - down)
    assert found.standard_error == pytest.approx(error * ((total + 2) / (total + 1)) ** 0.5)


def test_twenty_agreements_are_no_certainty() -> None:
    """No disagreement among 20 positives leaves ten points of doubt, among 2,000 none to speak of."""
    few, many = (np.ones(count, bool) for count in (20, 2000))
    assert share_difference(few, few, _alone(20)).low(0.95) == pytest.approx(-0.108, abs=0.002)
    assert share_difference(many, many, _alone(2000)).low(0.95) > -0.002


def test_a_patients_radiographs_count_together() -> None:
    """Means of patients that resemble themselves vary as the bootstrap of patients says."""
    rng = np.random.default_rng(4)
    patients = np.repeat(_alone(120), 5)
    old = rng.random(600)
    new = old + np.repeat(rng.normal(0.02, 0.1, 120), 5) + rng.normal(0, 0.02, 600)
    found = mean_difference(old, new, patients)
    drawn = [float((new[d] - old[d]).mean()) for d in draw_rows(patients, 1000, 1)]
    assert found.standard_error == pytest.approx(float(np.std(drawn)), rel=0.1)
    assert mean_difference(old, new, _alone(600)).standard_error < 0.6 * found.standard_error


def test_p_values_belong_to_the_bounds() -> None:
    """Where the lower bound at 95 % touches a value, the p-value of "at most that" is 5 %."""
    found = Estimate(0.03, 0.01)
    assert found.p_at_most(found.low(0.95)) == pytest.approx(0.05)
    assert found.p_at_least(found.high(0.95)) == pytest.approx(0.05)


def test_no_difference_at_all_is_never_shown_to_be_one() -> None:
    """Without variance the p-values are 0 or 1 and no division by zero."""
    same = Estimate(0.0, 0.0)
    assert (same.p_at_least(0), same.p_at_most(0), same.p_at_most(-0.01)) == (1, 1, 0)


def test_one_patient_has_no_variance() -> None:
    """It is said, and not called zero."""
    with pytest.raises(ValueError, match="one patient"):
        estimate_from_influence(0.0, np.zeros(3), np.array(["a"] * 3))
    with pytest.raises(ValueError, match="no radiographs"):
        share_difference(np.array([], bool), np.array([], bool), np.array([], str))
