"""Drift is found where there is some, not where there is none, and not denied where there is too little."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.drift.comparison import compare_samples
from pipelines.drift.reference import Measure, Share, build_reference
from pipelines.drift.report import DriftReport, DriftRules
from tests.support.pipelines.drift_values import MODEL, OTHER, SINCE, reference, report_of, sample


def test_where_nothing_changes_few_windows_raise_an_alarm() -> None:
    """Of 200 windows, each against a reference of its own, at most 5 % are said to drift."""
    alarms = 0
    for seed in range(200):
        (model,) = compare_samples(
            [sample(seed, 200)], {MODEL.digest: reference(seed + 1000, 250)}, DriftRules()
        )
        alarms += model.word == "drift"
    assert alarms <= 10


@pytest.mark.parametrize("seed", range(10))
def test_half_the_contrast_is_seen_and_named(seed: int) -> None:
    """Radiographs of half the contrast are drift of the input, not of the scores."""
    report = report_of(sample(seed, 200, contrast=0.5))
    assert "input" in report.kinds
    assert "score" not in report.kinds


@pytest.mark.parametrize("seed", range(10))
def test_scores_that_move_are_seen(seed: int) -> None:
    """Other patients, with half a standard deviation more in logits, move scores and call rates."""
    report = report_of(sample(seed, 300, shift=0.6))
    assert {"score", "call rate"} <= set(report.kinds)


def test_a_large_window_makes_no_drift_of_a_small_difference() -> None:
    """A difference that is sure but of no weight is not called drift."""
    wide = {MODEL.digest: reference(n=20_000)}
    (model,) = compare_samples([sample(1, 20_000, shift=0.1)], wide, DriftRules())
    assert any(each.p_adjusted is not None and each.p_adjusted < 0.001 for each in model.compared)
    assert model.word == "no drift seen"


def test_too_few_radiographs_say_nothing() -> None:
    """However far off a small window lies, nothing is shown; least of all that nothing has changed."""
    report = report_of(sample(1, 90, shift=3.0))
    assert report.word == "cannot be shown"
    assert all(each.word == "cannot be shown" and each.psi is None for each in report.models[0].compared)


def test_an_empty_window_says_nothing() -> None:
    """A week without an answer is not a week without drift."""
    assert report_of().word == "cannot be shown"


def test_a_model_is_compared_with_its_own_reference_only() -> None:
    """Another model on the same patients is not drift: without a reference nothing is shown."""
    report = report_of(sample(1, 200), sample(2, 200, shift=2.0, model=OTHER))
    assert [model.word for model in report.models] == ["no drift seen", "cannot be shown"]
    assert report.word == "cannot be shown"


def test_refusals_that_rise_are_drift() -> None:
    """A rise of refusals from 2 % to a fifth is seen, and scores do not drift."""
    refused = Measure(kind="refusal", name="share of refused_radiograph")
    week = sample(1, 300)
    report = report_of(replace(week, shares={**week.shares, refused: Share(hits=75, n=375)}))
    assert report.kinds == ("refusal",)


def test_slower_answers_are_no_drift_of_patients() -> None:
    """Answer times are compared, and do not change the verdict on the window."""
    slow = Measure(kind="operation", name="predict time")
    first, week = sample(1000, 300), sample(1, 300)
    times = np.random.default_rng(0).gamma(4, 0.01, 300)
    made = build_reference(replace(first, values={**first.values, slow: times}), "first weeks", SINCE)
    slower = replace(week, values={**week.values, slow: times * 4})
    (model,) = compare_samples([slower], {MODEL.digest: made}, DriftRules())
    assert [str(each.measure) for each in model.of_word("drift")] == ["predict time"]
    assert model.word == "no drift seen"


def test_what_only_one_side_has_is_named() -> None:
    """A quantity that could not be compared is listed, so that nobody takes it for compared."""
    week = sample(1, 200)
    kept = {measure: values for measure, values in week.values.items() if measure.kind != "input"}
    assert "image contrast" in report_of(replace(week, values=kept)).models[0].missing


def test_a_report_travels_as_json() -> None:
    """What is stored reads as what it was."""
    report = report_of(sample(1, 200, shift=1.0))
    assert DriftReport.model_validate_json(report.model_dump_json()) == report
