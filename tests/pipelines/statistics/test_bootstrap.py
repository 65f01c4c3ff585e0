"""Statistics of many draws at once, compared with those of scikit-learn, draw by draw."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from pipelines.statistics.bootstrap import (
    Bootstrap,
    aurocs,
    average_precisions,
    centre_draws,
    estimate_interval,
    estimate_share_interval,
    means,
    observed_statistic,
    shares,
)


def _sample(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, scores with ties, and the weights of five draws."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < 0.4).astype(float)
    scores = np.round(rng.normal(labels), 1)
    patients = np.array([f"p{i // 3}" for i in range(n)])
    return labels, scores, next(Bootstrap(5, seed).weights(patients))


@given(st.integers(0, 10_000))
def test_areas_are_those_of_scikit_learn(seed: int) -> None:
    """Ties and weights included, each draw has the AUROC and average precision of a second implementation."""
    labels, scores, weights = _sample(seed)
    for row, area, precision in zip(
        weights, aurocs(weights, labels, scores), average_precisions(weights, labels, scores), strict=True
    ):
        assert area == pytest.approx(roc_auc_score(labels, scores, sample_weight=row))
        assert precision == pytest.approx(average_precision_score(labels, scores, sample_weight=row))


def test_shares_and_means_are_those_of_the_rows_drawn() -> None:
    """A weight of two is a row drawn twice."""
    labels, scores, weights = _sample(3)
    called, present = scores > 0.5, labels == 1
    for row, share, mean in zip(
        weights, shares(weights, called, present), means(weights, scores), strict=True
    ):
        drawn = np.repeat(np.arange(len(labels)), row.astype(int))
        assert share == pytest.approx(called[drawn][present[drawn]].mean())
        assert mean == pytest.approx(scores[drawn].mean())


def test_a_draw_is_a_draw_of_patients() -> None:
    """As many patients as there are, each with all of their radiographs, the same for the same seed."""
    patients = np.array(["a", "b", "a", "c", "a"])
    weights = next(Bootstrap(200, 7).weights(patients))
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    np.testing.assert_array_equal(weights, next(Bootstrap(200, 7).weights(patients)))
    assert (weights != next(Bootstrap(200, 8).weights(patients))).any()


def test_draws_in_portions_are_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many draws fit into memory at once changes none of them."""
    labels, scores, _ = _sample(1)
    patients = np.array([f"p{i // 3}" for i in range(len(labels))])

    def area(weights: np.ndarray) -> np.ndarray:
        return aurocs(weights, labels, scores)[:, None]

    whole = Bootstrap(50).draw(area, patients)
    monkeypatch.setattr("pipelines.statistics.bootstrap._MOST_WEIGHTS", 7 * len(labels))
    np.testing.assert_array_equal(Bootstrap(50).draw(area, patients), whole)
    assert observed_statistic(area, len(labels))[0] == pytest.approx(roc_auc_score(labels, scores))


def test_without_a_positive_there_is_no_area() -> None:
    """What cannot be said is NaN, not a number that looks like one."""
    nobody = np.zeros(4)
    assert np.isnan(aurocs(np.ones((1, 4)), nobody, np.arange(4.0))).all()
    assert np.isnan(average_precisions(np.ones((1, 4)), nobody, np.arange(4.0))).all()
    assert np.isnan(shares(np.ones((1, 4)), nobody == 0, nobody == 1)).all()


def test_a_figure_needs_its_draws() -> None:
    """One draw in ten without an answer makes a figure unmeasured, one in a hundred does not."""
    drawn = np.linspace(0, 1, 100)
    assert estimate_interval(0.5, np.where(drawn < 0.1, np.nan, drawn)) is None
    assert estimate_interval(np.nan, drawn) is None
    assert estimate_interval(0.5, np.where(drawn < 0.005, np.nan, drawn)) is not None


def test_all_of_twelve_is_not_certain() -> None:
    """A share that no draw changes gets the exact interval: 12 of 12 may be as few as 74 %."""
    found = estimate_share_interval(1.0, np.ones(100), 12)
    assert found is not None
    assert found.low == pytest.approx(0.7354, abs=1e-4)
    assert found.high == 1
    none = estimate_share_interval(0.0, np.zeros(100), 12)
    assert none is not None
    assert none.low == 0
    assert none.high == pytest.approx(0.2646, abs=1e-4)


def test_draws_are_brought_back_around_their_value() -> None:
    """What resampling adds is taken off, and no error falls below zero."""
    drawn = np.array([0.05, 0.06, 0.07])
    np.testing.assert_allclose(centre_draws(0.02, drawn), [0.01, 0.02, 0.03])
    assert centre_draws(0.005, drawn).min() == 0


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Over 40 samples the 95 % interval of the AUROC holds the true value in at least 34."""
    truth, held = 0.7602, 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        labels = (rng.random(400) < 0.3).astype(float)
        area = partial(_area, labels=labels, scores=rng.normal(labels))
        drawn = Bootstrap(100, seed).draw(area, np.arange(400).astype(str))[:, 0]
        found = estimate_interval(observed_statistic(area, 400)[0], drawn)
        assert found is not None
        assert found.low <= found.value <= found.high
        held += found.low <= truth <= found.high
    assert held >= 34


def _area(weights: np.ndarray, labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return aurocs(weights, labels, scores)[:, None]
