"""Which radiographs of a window are read again."""

from pipelines.drift.image_sample import draw_answers
from tests.support.pipelines.drift_values import answer, answers


def test_the_same_seed_draws_the_same() -> None:
    """The sample depends on the seed and on the radiographs, not on their order."""
    week = answers(1, 50)
    chosen = draw_answers(week, 10, 7)
    assert chosen == draw_answers(week[::-1], 10, 7)
    assert chosen != draw_answers(week, 10, 8)
    assert len({each.image_digest for each in chosen}) == 10


def test_what_lies_in_no_store_is_not_drawn() -> None:
    """A radiograph that was sent with its request cannot be read again."""
    assert draw_answers([answer(1, image_id=None), answer(2)], 10, 0) == [answer(2)]
