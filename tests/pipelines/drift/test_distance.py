"""Distances and their p-values agree with SciPy's, and err on the side of no drift."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from pipelines.drift.distance import (
    detectable_effect,
    detectable_gap,
    distance_of_histograms,
    distance_of_shares,
    share_interval,
    tenths,
)
from pipelines.drift.reference import Histogram, Share
from pipelines.statistics.shift import measure_shift


@given(st.integers(0, 10_000), st.floats(0, 2), st.integers(100, 800))
def test_the_distance_is_at_most_that_between_the_values(seed: int, shift: float, n: int) -> None:
    """Counts over the reference's twentieths never show more than the values themselves would."""
    random = np.random.default_rng(seed)
    before, now = random.normal(size=500), random.normal(shift, 1, n)
    expected = Histogram.of(before)
    found = distance_of_histograms(expected, expected.of_others(now))
    exact = ks_2samp(before, now, method="asymp")
    assert found.distance <= exact.statistic + 1e-12
    assert found.p >= exact.pvalue * 0.5
    assert found.distance >= exact.statistic - 0.05


def test_the_index_is_that_of_data_sets() -> None:
    """A histogram of twentieths gives the same index, over tenths, as the values that it was made of."""
    random = np.random.default_rng(0)
    before, now = random.normal(size=2000), random.normal(0.4, 1, 1000)
    expected = Histogram.of(before)
    found = distance_of_histograms(expected, expected.of_others(now))
    assert found.psi == pytest.approx(measure_shift(before, now).psi, rel=0.02)
    assert [len(each) for each in tenths(expected, expected)] == [10, 10]


@given(st.integers(100, 500), st.floats(0.001, 1) | st.floats(-1, -0.001))
def test_what_was_always_the_same_cannot_change_unseen(n: int, by: float) -> None:
    """Where all radiographs were square, narrower ones are as far off as wider ones."""
    expected = Histogram.of(np.ones(n))
    found = distance_of_histograms(expected, expected.of_others(np.full(n, 1 + by)))
    assert (found.distance, found.psi > 1) == (1, True)


@given(st.integers(0, 300), st.integers(1, 300), st.integers(0, 300), st.integers(1, 300))
def test_equal_shares_are_no_distance(hits: int, more: int, others: int, rest: int) -> None:
    """A share lies nowhere from itself, and p is a probability for any two."""
    share, other = Share(hits=hits, n=hits + more), Share(hits=others, n=others + rest)
    assert distance_of_shares(share, share).distance == 0
    assert 0 <= distance_of_shares(share, other).p <= 1 + 1e-9


def test_what_would_be_seen_is_seen() -> None:
    """A gap of the size that is called detectable has about the p that it was asked for."""
    gap = detectable_gap(400, 400, 0.01)
    edges = (0.0,)
    half = Histogram(edges=edges, counts=(200, 200))
    moved = Histogram(edges=edges, counts=(200 + round(gap * 400), 200 - round(gap * 400)))
    assert distance_of_histograms(half, moved).p == pytest.approx(0.01, rel=0.2)
    assert detectable_effect(400, 400, 0.01) < detectable_effect(100, 400, 0.01)


def test_an_interval_holds_its_share() -> None:
    """None called of none asked is unknown; none of a hundred is not certainly zero."""
    assert share_interval(Share(hits=0, n=0)) is None
    interval = share_interval(Share(hits=0, n=100))
    assert interval is not None
    assert (interval.low, interval.value) == (0, 0)
    assert interval.high == pytest.approx(0.037, abs=0.001)  # z^2 / (n + z^2)
