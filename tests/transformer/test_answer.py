"""What follows from an answer."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pleura.findings import FINDINGS
from tests.support.transformer_values import STABLE, make_answer
from transformer.answer import Answer, Prediction

fractions = arrays(np.float32, 14, elements=st.floats(0, 1, width=32))


def _judged(probability: np.ndarray, threshold: np.ndarray) -> Answer:
    plain = make_answer()
    return Answer(
        probability, threshold, 1.0, plain.activation_map, STABLE, plain.preprocessing_version, "d" * 64
    )


@given(fractions, fractions, fractions)
def test_a_higher_threshold_never_adds_a_finding(
    probability: np.ndarray, threshold: np.ndarray, more: np.ndarray
) -> None:
    """Findings at a higher operating point are among those at the lower one."""
    low = _judged(probability, threshold).findings()
    high = _judged(probability, np.maximum(threshold, more)).findings()
    assert set(high) <= set(low)


def test_a_probability_at_the_threshold_is_present() -> None:
    """Present means at the threshold or above it."""
    half = np.full(14, 0.5, np.float32)
    assert _judged(half, half).findings() == FINDINGS


def test_a_prediction_is_taken_apart_by_radiograph() -> None:
    """Each answer carries its own row and the revision of all."""
    one, two = make_answer(1), make_answer(2)
    prediction = Prediction(
        np.stack([one.probability, two.probability]),
        one.threshold,
        np.array([0.1, 0.9], np.float32),
        np.stack([one.activation_map, two.activation_map]),
        STABLE,
        one.preprocessing_version,
    )
    answers = prediction.answers(["1" * 64, "2" * 64])
    assert [answer.image_digest[0] for answer in answers] == ["1", "2"]
    np.testing.assert_array_equal(answers[1].probability, two.probability)
    assert answers[0].revision == STABLE
