"""The interval of a share widens where several radiographs are of one patient."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint  # type: ignore[import-untyped]

from pipelines.statistics.patient_share import share_by_patient


def test_one_radiograph_a_patient_gives_wilsons_interval() -> None:
    """Where every patient has one radiograph, nothing is adjusted."""
    found = share_by_patient(np.arange(100) < 7, np.arange(100).astype(str))
    low, high = proportion_confint(7, 100, method="wilson")
    assert (found.value, found.low, found.high) == pytest.approx((0.07, low, high))


def test_none_of_many_radiographs_of_few_patients_says_little() -> None:
    """Nothing in 58 radiographs of 12 patients is as sure as nothing in 12."""
    found = share_by_patient(np.zeros(58, np.bool_), (np.arange(58) % 12).astype(str))
    assert (found.value, found.low) == (0, 0)
    assert found.high == pytest.approx(proportion_confint(0, 12, method="wilson")[1])


def test_a_patient_whose_radiographs_agree_counts_once() -> None:
    """Ten radiographs of each patient that are all alike tell what one of each tells."""
    is_refused = np.arange(20) < 4
    one = share_by_patient(is_refused, np.arange(20).astype(str))
    ten = share_by_patient(is_refused.repeat(10), np.arange(20).repeat(10).astype(str))
    assert ten.value == one.value
    assert ten.high - ten.low == pytest.approx(one.high - one.low, rel=0.05)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=1, max_size=60))
def test_the_interval_holds_the_share(rows: list[tuple[bool, int]]) -> None:
    """For any radiographs and patients, 0 <= low <= share <= high <= 1."""
    found = share_by_patient(np.array([flag for flag, _ in rows]), np.array([str(who) for _, who in rows]))
    assert 0 <= found.low <= found.value <= found.high <= 1
