"""The evaluation of a model on labelled radiographs."""

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, confusion_matrix, roc_auc_score

from pipelines.evaluation.evaluate import evaluate
from pipelines.evaluation.evaluation import Evaluation, EvaluationProtocol
from pipelines.evaluation.scored_radiographs import ScoredRadiographs
from pleura.findings import FINDINGS
from tests.support.pipelines.evaluations import QUICK, THRESHOLDS, calibrated


def _with_labels(
    scored: ScoredRadiographs, labels: np.ndarray, probabilities: np.ndarray | None = None
) -> ScoredRadiographs:
    chosen = scored.probabilities if probabilities is None else probabilities
    return replace(scored, labels=labels, probabilities=chosen)


def test_figures_are_those_of_scikit_learn() -> None:
    """Every figure of every finding is what a second implementation says."""
    scored = calibrated()
    evaluation = evaluate(scored, THRESHOLDS, QUICK)
    for f, finding in enumerate(evaluation.findings):
        labels, scores = scored.labels[:, f], scored.probabilities[:, f].astype(float)
        true_no, false_yes, false_no, true_yes = confusion_matrix(labels, scores >= THRESHOLDS[f]).ravel()
        figures = finding.figures
        assert figures is not None
        assert figures.auroc.value == pytest.approx(roc_auc_score(labels, scores))
        assert figures.auprc.value == pytest.approx(average_precision_score(labels, scores))
        assert figures.brier.value == pytest.approx(brier_score_loss(labels, scores))
        assert figures.sensitivity.value == pytest.approx(true_yes / (true_yes + false_no))
        assert figures.specificity.value == pytest.approx(true_no / (true_no + false_yes))
        assert figures.ppv is not None
        assert figures.ppv.value == pytest.approx(true_yes / (true_yes + false_yes))
        assert figures.npv is not None
        assert figures.npv.value == pytest.approx(true_no / (true_no + false_no))
        assert finding.prevalence == pytest.approx(labels.mean())


def test_every_interval_holds_its_figure() -> None:
    """Low, value and high come in this order, for findings and for their means."""
    evaluation = evaluate(calibrated(), THRESHOLDS, QUICK)
    assert evaluation.macro is not None
    groups = [evaluation.macro, *(each.figures for each in evaluation.findings if each.figures)]
    for group in groups:
        for name in set(type(group).model_fields) - {"ece_floor"}:
            figure = getattr(group, name)
            assert figure.low <= figure.value <= figure.high, name
    areas = [each.figures.auroc.value for each in evaluation.findings if each.figures]
    assert evaluation.macro.auroc.value == pytest.approx(np.mean(areas))


@given(st.randoms(use_true_random=False))
@settings(max_examples=5)
def test_the_order_of_radiographs_changes_nothing(random: object) -> None:
    """The same radiographs in another order give the same evaluation, to the bit."""
    scored = calibrated(80)
    protocol = EvaluationProtocol(draws=100)
    rows = np.arange(80)
    random.shuffle(rows)  # type: ignore[attr-defined]
    again = evaluate(scored.rows(rows), THRESHOLDS, protocol)
    assert again.to_json() == evaluate(scored, THRESHOLDS, protocol).to_json()


def test_an_evaluation_is_read_as_it_was_written() -> None:
    """JSON and back is the same evaluation."""
    evaluation = evaluate(calibrated(), THRESHOLDS, QUICK)
    assert Evaluation.model_validate_json(evaluation.to_json()) == evaluation


def test_perfect_scores_are_perfect() -> None:
    """Truth as score gives 1 everywhere, no slope, and for shares an interval that knows how few they are."""
    scored = calibrated()
    truth = np.where(scored.labels == 1, 0.9, 0.1).astype(np.float32)
    evaluation = evaluate(_with_labels(scored, scored.labels, truth), [0.5] * 14, QUICK)
    for finding in evaluation.findings:
        figures = finding.figures
        assert figures is not None
        assert figures.ppv is not None
        values = (figures.auroc, figures.auprc, figures.sensitivity, figures.specificity, figures.ppv)
        assert [each.value for each in values] == [1.0] * 5
        assert figures.calibration_slope is None
        assert 0.9 < figures.sensitivity.low < 1


def test_constant_scores_are_guesses() -> None:
    """One score for all gives AUROC 0.5, AUPRC the prevalence, and nothing to draw a slope through."""
    scored = calibrated()
    same = np.full_like(scored.probabilities, 0.4)
    for finding in evaluate(_with_labels(scored, scored.labels, same), [0.5] * 14, QUICK).findings:
        figures = finding.figures
        assert figures is not None
        assert (figures.auroc.low, figures.auroc.value, figures.auroc.high) == (0.5, 0.5, 0.5)
        assert figures.auprc.value == pytest.approx(finding.prevalence)
        assert figures.calibration_slope is None
        assert figures.ppv is None
        assert figures.sensitivity.value == 0


def test_unknown_labels_are_left_out_of_their_finding_only() -> None:
    """Radiographs with an unknown label are left out of that finding, and no other finding changes."""
    scored = calibrated()
    labels = scored.labels.copy()
    labels[::4, 3] = np.nan
    partly = evaluate(_with_labels(scored, labels), THRESHOLDS, QUICK)
    keep = ~np.isnan(labels[:, 3])
    known = evaluate(scored.rows(keep), THRESHOLDS, QUICK).findings[3]
    assert partly.findings[3].unknown == 75
    assert partly.findings[3].figures is not None
    assert known.figures is not None
    assert partly.findings[3].figures.auroc.value == known.figures.auroc.value
    assert partly.findings[3].figures.ece_floor == known.figures.ece_floor
    whole = evaluate(scored, THRESHOLDS, QUICK)
    assert [f for i, f in enumerate(partly.findings) if i != 3] == [
        f for i, f in enumerate(whole.findings) if i != 3
    ]


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_too_few_are_unmeasured(value: float) -> None:
    """19 positives, or 19 negatives, give no figure at all, nor do they count for the mean."""
    scored = calibrated()
    labels = scored.labels.copy()
    labels[:, 5] = value
    labels[:19, 5] = 1 - value
    evaluation = evaluate(_with_labels(scored, labels), THRESHOLDS, QUICK)
    assert evaluation.findings[5].status == "unmeasured"
    assert evaluation.findings[5].curves is None
    assert len(evaluation.measured) == len(FINDINGS) - 1
    labels[19, 5] = 1 - value
    assert evaluate(_with_labels(scored, labels), THRESHOLDS, QUICK).findings[5].status == "measured"


def test_nothing_known_gives_no_number() -> None:
    """Without any known label there is no mean either."""
    scored = calibrated(40)
    evaluation = evaluate(_with_labels(scored, np.full_like(scored.labels, np.nan)), THRESHOLDS, QUICK)
    assert evaluation.macro is None
    assert not evaluation.measured


def test_calls_are_counted_as_they_are_served() -> None:
    """A probability that equals the threshold in float32 is a call, as the service answers it."""
    scored = calibrated()
    threshold = 0.1
    at = np.full_like(scored.probabilities, np.float32(threshold))
    evaluation = evaluate(_with_labels(scored, scored.labels, at), [threshold] * 14, QUICK)
    assert evaluation.findings[0].figures is not None
    assert evaluation.findings[0].figures.sensitivity.value == 1.0


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1, np.inf])
def test_a_value_outside_0_and_1_is_refused(bad: float) -> None:
    """One NaN stops the evaluation; it is not left out in silence."""
    scored = calibrated(40)
    scored.probabilities[3, 3] = bad
    with pytest.raises(ValueError, match=r"not a number in \[0, 1\]"):
        evaluate(scored, THRESHOLDS, QUICK)


def test_unusable_labels_are_refused() -> None:
    """A label of 0.5, no radiograph at all, or a threshold too few stop the evaluation."""
    scored = calibrated(40)
    with pytest.raises(ValueError, match="neither present"):
        evaluate(_with_labels(scored, np.full_like(scored.labels, 0.5)), THRESHOLDS, QUICK)
    with pytest.raises(ValueError, match="no radiograph"):
        evaluate(scored.rows(np.zeros(40, bool)), THRESHOLDS, QUICK)
    with pytest.raises(ValueError, match="shorter"):
        evaluate(scored, THRESHOLDS[:13], QUICK)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """Over samples of calibrated scores the 95 % interval of the slope holds 1 in most."""
    held = 0
    for seed in range(6):
        evaluation = evaluate(calibrated(200, seed), THRESHOLDS, QUICK)
        slopes = [f.figures.calibration_slope for f in evaluation.findings if f.figures]
        held += sum(s is not None and s.low <= 1 <= s.high for s in slopes)
    assert held >= 0.88 * 6 * len(FINDINGS)


def test_a_thousand_radiographs_take_well_under_a_minute() -> None:
    """2,000 draws of everything about 1,000 radiographs cost less than 40 seconds of processor time."""
    scored = calibrated(1_000)
    began = time.process_time()
    evaluate(scored, THRESHOLDS)
    assert time.process_time() - began < 40
