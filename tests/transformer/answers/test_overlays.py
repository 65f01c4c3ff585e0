"""Whether the maps of an answer of now belong to a stored answer."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pleura.journal_row import JournalRow
from tests.support.transformer_values import CANARY, STABLE, make_answer, make_journal_row
from transformer.answer import Answer
from transformer.answers.overlays import ModelReplaced, RadiographReplaced, require_same_reading


def _make_row(answer: Answer) -> JournalRow:
    """Make the row that the journal has of an answer."""
    return make_journal_row(
        image_digest=answer.image_digest,
        model_digest=answer.revision.digest,
        probabilities=tuple(answer.probability.tolist()),
    )


def test_the_same_answer_is_accepted() -> None:
    """A rounding of another engine is no other answer."""
    answer = make_answer()
    assert require_same_reading(_make_row(answer), answer) is answer
    rounded = replace(answer, probability=np.round(answer.probability, 3))
    assert require_same_reading(_make_row(answer), rounded) is rounded


def test_another_file_or_model_is_refused() -> None:
    """Its maps would be drawn over findings that they do not belong to."""
    row = _make_row(make_answer(1, STABLE))
    with pytest.raises(RadiographReplaced):
        require_same_reading(row, make_answer(2, STABLE))
    with pytest.raises(ModelReplaced):
        require_same_reading(row, make_answer(1, CANARY))


@given(st.integers(0, 13), st.floats(0.011, 1.0))
def test_an_answer_that_differs_in_any_finding_is_refused(position: int, difference: float) -> None:
    """The reader was corrected, or the bundle lies about its digest."""
    answer = make_answer()
    probability = answer.probability.copy()
    probability[position] += difference
    with pytest.raises(ModelReplaced):
        require_same_reading(_make_row(answer), replace(answer, probability=probability))
