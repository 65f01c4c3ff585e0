"""Groups of people and radiographs, each against the rest."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pipelines.evaluation.evaluation import EvaluationProtocol
from pipelines.evaluation.scored_radiographs import ScoredRadiographs
from pipelines.evaluation.subgroup_gaps import MEAN, SubgroupEvaluation, evaluate_subgroups
from tests.support.pipelines.evaluations import THRESHOLDS, calibrated

PROTOCOL = EvaluationProtocol(draws=200, subgroup_minimum_positives=30)


def _of(
    scored: ScoredRadiographs, attribute: str, group: str, protocol: EvaluationProtocol = PROTOCOL
) -> SubgroupEvaluation:
    found = evaluate_subgroups(scored, THRESHOLDS, protocol)
    return next(each for each in found if (each.attribute, each.group) == (attribute, group))


def test_a_gap_is_the_difference_of_two_areas() -> None:
    """AUROC of women and its gap to men are those of scikit-learn, on their radiographs alone."""
    scored = calibrated(400)
    women = scored.sexes == "F"
    group = _of(scored, "sex", "F")
    assert group.radiographs == 200
    gap = group.gaps[0]
    f = 0
    here = roc_auc_score(scored.labels[women, f], scored.probabilities[women, f])
    there = roc_auc_score(scored.labels[~women, f], scored.probabilities[~women, f])
    assert gap.auroc.value == pytest.approx(here)
    assert gap.auroc_gap.value == pytest.approx(here - there)
    assert gap.auroc_gap.low <= gap.auroc_gap.value <= gap.auroc_gap.high


def test_a_group_that_is_read_worse_is_seen() -> None:
    """Scores that say nothing about AP films give them a gap whose whole interval is below zero."""
    scored = calibrated(600)
    rng = np.random.default_rng(0)
    guessed = np.where((scored.views == "AP")[:, None], rng.random((600, 14)), scored.probabilities)
    mean = _of(replace(scored, probabilities=guessed), "view", "AP").gaps[-1]
    assert mean.finding == MEAN
    assert mean.auroc_gap.high < 0
    assert mean.auroc.value == pytest.approx(0.5, abs=0.1)


def test_two_halves_have_opposite_gaps() -> None:
    """What women are read better by, men are read worse by."""
    scored = calibrated(400)
    for one, other in zip(_of(scored, "sex", "F").gaps, _of(scored, "sex", "M").gaps, strict=True):
        assert one.auroc_gap.value == pytest.approx(-other.auroc_gap.value)
        assert one.auroc_gap.low == pytest.approx(-other.auroc_gap.high)


def test_too_small_is_said_so() -> None:
    """With one positive less than asked for, a finding has no gap, and is listed as too small."""
    scored = calibrated(400)
    labels = scored.labels.copy()
    women = np.flatnonzero(scored.sexes == "F")
    labels[women, 2] = 0
    labels[women[:29], 2] = 1
    group = _of(replace(scored, labels=labels), "sex", "F")
    assert "Effusion" not in {gap.finding for gap in group.gaps}
    assert [(each.finding, each.positives) for each in group.too_small] == [("Effusion", 29)]


def test_the_rest_must_be_large_enough_too() -> None:
    """A group is not compared with a handful of others."""
    scored = calibrated(400)
    sources = scored.sources.copy()
    sources[:] = "here"
    sources[:10] = "there"
    group = _of(replace(scored, sources=sources), "source", "here")
    assert not group.gaps
    assert len(group.too_small) == 14


def test_what_is_unknown_is_in_no_group_and_in_no_rest() -> None:
    """Radiographs of unknown sex change nothing in the gaps between the sexes; a lone source is no group."""
    scored = calibrated(400)
    sexes = scored.sexes.copy()
    sexes[:100] = ""
    known = scored.rows(np.arange(400) >= 100)
    hidden = replace(scored, sexes=sexes)
    one, other = _of(hidden, "sex", "F"), _of(known, "sex", "F")
    assert [gap.auroc_gap.value for gap in one.gaps] == [gap.auroc_gap.value for gap in other.gaps]
    assert all(each.attribute != "source" for each in evaluate_subgroups(scored, THRESHOLDS, PROTOCOL))


def test_the_order_of_radiographs_changes_nothing() -> None:
    """Shuffled rows give the same gaps, to the bit."""
    scored = calibrated(200)
    shuffled = scored.rows(np.random.default_rng(1).permutation(200))
    assert evaluate_subgroups(shuffled, THRESHOLDS, PROTOCOL) == evaluate_subgroups(
        scored, THRESHOLDS, PROTOCOL
    )
