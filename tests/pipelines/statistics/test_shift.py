"""What has not changed shows no shift, and what has does."""

import numpy as np
import pytest

from pipelines.statistics.shift import NOTABLE_PSI, SERIOUS_PSI, measure_shift, psi


def test_two_samples_of_one_distribution_show_none() -> None:
    """Neither index is alarmed by chance."""
    rng = np.random.default_rng(1)
    shift = measure_shift(rng.normal(size=5000), rng.normal(size=2000))
    assert shift.psi < NOTABLE_PSI / 2
    assert shift.p > 0.01


def test_a_moved_distribution_is_seen() -> None:
    """Half a standard deviation is serious, and never takes both for the same."""
    rng = np.random.default_rng(2)
    shift = measure_shift(rng.normal(size=5000), rng.normal(0.6, size=2000))
    assert shift.psi > SERIOUS_PSI
    assert shift.p < 1e-9


def test_the_index_is_the_published_sum() -> None:
    """A worked example: shares .5 and .5 against .4 and .6, counts so large that the half one is nothing."""
    index = psi(np.array([500_000, 500_000]), np.array([400_000, 600_000]))
    assert index == pytest.approx(0.1 * np.log(1.25) + 0.1 * np.log(1.2), rel=1e-4)


@pytest.mark.parametrize("sample", [[], [float("nan")], [float("inf")]])
def test_nothing_is_no_sample(sample: list[float]) -> None:
    """An empty window, or one of no numbers, is refused and not called unchanged."""
    with pytest.raises(ValueError, match="two samples"):
        measure_shift(np.array([1.0]), np.array(sample))


def test_a_constant_reference_tells_a_change() -> None:
    """A quantity that never varied and now does is a shift."""
    assert measure_shift(np.zeros(1000), np.ones(1000)).psi > SERIOUS_PSI
    assert measure_shift(np.zeros(1000), np.zeros(50)).psi < NOTABLE_PSI


def test_five_equal_values_have_shifted_by_nothing() -> None:
    """A small window is compared without complaint."""
    sample = np.linspace(0.1, 0.9, 5)
    shift = measure_shift(sample, sample)
    assert (shift.psi, shift.ks, shift.p) == (0.0, 0.0, 1.0)
