"""DeLong's test, against a second implementation and the bootstrap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from pipelines.statistics.delong import areas, auroc_influence, macro_advantage, placements
from pipelines.statistics.paired import estimate_from_influence
from tests.support.pipelines.row_draws import draw_rows


def _alone(count: int) -> np.ndarray:
    return np.arange(count).astype(str)


def _by_definition(labels: np.ndarray, scores: np.ndarray, patients: np.ndarray) -> np.ndarray:
    """Obuchowski's covariance, pair by pair and patient by patient, as the paper writes it."""
    positives, negatives = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    m, n = len(positives), len(negatives)
    kernel = np.array(
        [
            [[(s[i] > s[j]) + 0.5 * (s[i] == s[j]) for j in negatives] for i in positives]
            for s in scores
        ]
    )  # fmt: skip
    area = kernel.mean(axis=(1, 2))
    names = sorted(set(patients.tolist()))
    ten, one = np.zeros((len(scores), len(names))), np.zeros((len(scores), len(names)))
    for column, name in enumerate(names):
        mine10, mine01 = patients[positives] == name, patients[negatives] == name
        ten[:, column] = kernel.mean(axis=2)[:, mine10].sum(axis=1) - mine10.sum() * area
        one[:, column] = kernel.mean(axis=1)[:, mine01].sum(axis=1) - mine01.sum() * area
    i10, i01 = len(set(patients[positives].tolist())), len(set(patients[negatives].tolist()))
    s10 = i10 / ((i10 - 1) * m) * ten @ ten.T
    s01 = i01 / ((i01 - 1) * n) * one @ one.T
    s11 = len(names) / (len(names) - 1) * ten @ one.T
    covariance: np.ndarray = s10 / m + s01 / n + (s11 + s11.T) / (m * n)
    return covariance


@given(
    seed=st.integers(0, 2**32 - 1),
    positives=st.integers(2, 12),
    negatives=st.integers(2, 15),
    grades=st.integers(1, 30),
    patients=st.integers(2, 30),
)
def test_midranks_give_what_the_definition_gives(
    seed: int, positives: int, negatives: int, grades: int, patients: int
) -> None:
    """With any ties and any patients, area and covariance are those of all pairs compared one by one."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([1.0, 0.0], [positives, negatives]))
    scores = rng.integers(0, grades, (2, len(labels))).astype(float)
    names = rng.integers(0, patients, len(labels)).astype(str)
    for kind in (1, 0):
        names[np.flatnonzero(labels == kind)[:2]] = [f"first of {kind}", f"second of {kind}"]
    found = areas(labels, scores, names)
    assert found.aurocs == pytest.approx([roc_auc_score(labels, row) for row in scores])
    assert found.covariance == pytest.approx(_by_definition(labels, scores, names), abs=1e-15)


@given(st.integers(0, 2**32 - 1))
def test_a_model_is_never_worse_than_itself(seed: int) -> None:
    """The same scores, or others in the same order, give an advantage of zero with a bound of zero."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([1.0, 0.0], [9, 30]))
    scores = rng.normal(labels)
    advantage = areas(labels, np.stack([scores, np.exp(scores)]), _alone(39)).advantage(1, 0)
    assert (advantage.value, advantage.low(0.95)) == pytest.approx((0, 0), abs=1e-12)
    assert advantage.p_at_most(-0.02) == 0
    assert advantage.p_at_least(0) == 1


def _area(labels: np.ndarray, scores: np.ndarray) -> float:
    return placements(labels, scores).auroc


def _films(patients: int, each: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Films of patients whose films resemble each other, as two models of unequal skill score them."""
    rng = np.random.default_rng(seed)
    names = np.repeat(np.arange(patients).astype(str), each)
    labels = np.repeat((rng.random(patients) < 0.35).astype(float), each)
    shared = np.repeat(rng.normal(0, 1, patients), each)
    old = labels * 1.0 + shared + rng.normal(0, 0.3, len(labels))
    liking = np.repeat(rng.normal(0, 0.8, patients), each)
    return labels, old, labels * 1.3 + shared + liking + rng.normal(0, 0.3, len(labels)), names


def test_the_clustered_error_is_the_bootstraps_and_the_naive_one_is_too_small() -> None:
    """Four films of each patient: draws of patients agree within a tenth; ignoring patients halves it."""
    labels, old, new, names = _films(150, 4, seed=5)
    clustered = areas(labels, np.stack([old, new]), names).advantage(1, 0)
    naive = areas(labels, np.stack([old, new]), _alone(len(labels))).advantage(1, 0)
    gains = [_area(labels[d], new[d]) - _area(labels[d], old[d]) for d in draw_rows(names, 800, 7)]
    assert clustered.standard_error == pytest.approx(float(np.std(gains)), rel=0.1)
    assert clustered.low(0.95) == pytest.approx(float(np.percentile(gains, 5)), abs=0.01)
    assert naive.standard_error < 0.65 * clustered.standard_error


def test_the_bound_lies_below_the_truth_as_often_as_it_says() -> None:
    """Over 250 samples of patients with three films each, about 95 % of the bounds are below the truth."""
    spread_old, spread_new = (1.09, 1.73)
    truth = float(norm.cdf(1.3 / (2 * spread_new) ** 0.5) - norm.cdf(1.0 / (2 * spread_old) ** 0.5))
    held = 0
    for seed in range(250):
        labels, old, new, names = _films(120, 3, seed)
        held += areas(labels, np.stack([old, new]), names).advantage(1, 0).low(0.95) <= truth
    assert 0.91 <= held / 250 <= 0.98


def test_the_macro_bound_is_the_bootstraps() -> None:
    """Findings that go together make the mean vary more than if each were a sample of its own."""
    labels, old, new, names = _films(200, 3, seed=11)
    rng = np.random.default_rng(1)
    truth = np.stack([labels, np.where(rng.random(len(labels)) < 0.1, 1 - labels, labels), labels], axis=1)
    truth[:40, 2] = np.nan
    before, after = (np.stack([x, x, x + rng.normal(0, 0.5, len(x))], axis=1) for x in (old, new))
    found = macro_advantage(truth, before, after, names)

    def gain(rows: np.ndarray) -> float:
        known = [rows[~np.isnan(truth[rows, f])] for f in range(3)]
        return float(
            np.mean([_area(truth[k, f], after[k, f]) - _area(truth[k, f], before[k, f])
                     for f, k in enumerate(known)])
        )  # fmt: skip

    assert found.value == pytest.approx(gain(np.arange(len(labels))))
    assert found.standard_error == pytest.approx(
        float(np.std([gain(d) for d in draw_rows(names, 500, 3)])), rel=0.1
    )


def test_influences_add_up_to_obuchowskis_variance() -> None:
    """With many patients the sum of squared influences is the variance of the two-sample formula."""
    labels, old, new, names = _films(400, 2, seed=2)
    exact = areas(labels, np.stack([old, new]), names).advantage(1, 0)
    before, after = (auroc_influence(labels, placements(labels, scores)) for scores in (old, new))
    linear = estimate_from_influence(exact.value, after - before, names)
    assert linear.standard_error == pytest.approx(exact.standard_error, rel=0.01)


def test_one_patient_tells_no_variance() -> None:
    """Three positives of one patient give no bound, and no division by zero."""
    labels = np.array([1.0, 1.0, 1.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="two patients"):
        areas(labels, np.zeros((2, 5)), np.array(["a", "a", "a", "b", "c"]))
    with pytest.raises(ValueError, match="a positive and a negative"):
        placements(np.ones(3), np.zeros(3))
