"""Findings, and predictions that are split into answers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pleura.findings import FINDINGS
from pleura.radiograph.observations import RadiographObservation
from tests.support.transformer_values import STABLE, make_answer
from transformer.answer import Answer, Prediction, merge_observations

fractions = arrays(np.float32, 14, elements=st.floats(0, 1, width=32))


def _answer(probability: np.ndarray, threshold: np.ndarray) -> Answer:
    plain = make_answer()
    return Answer(
        probability, threshold, 1.0, plain.activation_map, STABLE, plain.preprocessing_version, "d" * 64
    )


@given(fractions, fractions, fractions)
def test_a_higher_threshold_never_adds_a_finding(
    probability: np.ndarray, threshold: np.ndarray, more: np.ndarray
) -> None:
    """The findings at a higher operating point are a subset of those at a lower one."""
    low = _answer(probability, threshold).findings()
    high = _answer(probability, np.maximum(threshold, more)).findings()
    assert set(high) <= set(low)


def test_a_probability_at_the_threshold_is_present() -> None:
    """A finding is present at the threshold or above it."""
    half = np.full(14, 0.5, np.float32)
    assert _answer(half, half).findings() == FINDINGS


def test_a_prediction_is_split_by_radiograph() -> None:
    """Each answer has its own row, and the common revision."""
    one, two = make_answer(1), make_answer(2)
    prediction = Prediction(
        np.stack([one.probability, two.probability]),
        one.threshold,
        np.array([0.1, 0.9], np.float32),
        np.stack([one.activation_map, two.activation_map]),
        STABLE,
        one.preprocessing_version,
        np.array([[False] * 4, [True, False, True, False]]),
    )
    answers = prediction.answers(["1" * 64, "2" * 64], [(), ()])
    assert [answer.image_digest[0] for answer in answers] == ["1", "2"]
    np.testing.assert_array_equal(answers[1].probability, two.probability)
    assert answers[0].revision == STABLE
    assert [[each.code for each in answer.observations] for answer in answers] == [
        [],
        ["not_chest", "inverted"],
    ]
    assert all(answer.is_checked for answer in answers)


def test_what_the_header_and_the_pixels_say_is_told_once() -> None:
    """The first text of a code stays, since the header knows more."""
    header, pixels = (
        RadiographObservation("not_chest", "a leg"),
        RadiographObservation("not_chest", "unlike any chest"),
    )
    assert merge_observations([header], [pixels]) == (header,)


def test_an_answer_without_flags_was_not_checked() -> None:
    """A predictor of an earlier version sends none."""
    plain = make_answer()
    prediction = Prediction(
        plain.probability[None],
        plain.threshold,
        np.ones(1, np.float32),
        plain.activation_map[None],
        STABLE,
        plain.preprocessing_version,
    )
    (answer,) = prediction.answers(["1" * 64], [(RadiographObservation("too_small", "small"),)])
    assert not answer.is_checked
    assert [each.code for each in answer.observations] == ["too_small"]
