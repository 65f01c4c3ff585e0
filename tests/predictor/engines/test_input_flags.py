"""The flags of the input check follow from its probabilities, its distance and its thresholds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pleura.bundle import InputCheck
from pleura.contract import INPUT_CLASSES, INPUT_FLAGS
from pleura.errors import InvalidAnswer
from predictor.engines.engine import GraphOutputs
from predictor.engines.input_flags import flag_inputs

CHECK = InputCheck(
    upright_threshold=0.6, not_chest_distance=60.0, untypical_distance=30.0, chosen="", fitted_on=()
)


def outputs(classes: np.ndarray, distances: np.ndarray, typicality: float = 0.5) -> GraphOutputs:
    count = len(classes)
    return GraphOutputs(
        np.zeros((count, 14), np.float32),
        np.zeros((count, 14, 7, 7), np.float32),
        np.full(count, typicality, np.float32),
        distances.astype(np.float32)[:, None],
        classes.astype(np.float32),
    )


def flagged(*classes: float, distance: float = 10.0) -> list[str]:
    found = flag_inputs(outputs(np.array([classes]), np.array([distance])), CHECK)
    return [flag for flag, is_set in zip(INPUT_FLAGS, found[0], strict=True) if is_set]


def test_an_upright_film_has_no_flag() -> None:
    """A probability at the threshold is enough."""
    assert flagged(0.6, 0.4, 0.0, 0.0) == []


@pytest.mark.parametrize("flag", INPUT_CLASSES[1:])
def test_the_most_probable_other_class_is_the_flag(flag: str) -> None:
    """Only one of them, though more may be probable."""
    classes = [0.5, 0.1, 0.1, 0.1]
    classes[INPUT_CLASSES.index(flag)] = 0.3
    assert flagged(*classes) == [flag]


def test_a_distance_flags_whatever_the_classes_say() -> None:
    """Beyond the first distance an image is untypical, beyond the second it is no chest film too."""
    assert flagged(1.0, 0.0, 0.0, 0.0, distance=31) == ["untypical"]
    assert flagged(1.0, 0.0, 0.0, 0.0, distance=61) == ["not_chest", "untypical"]


def test_without_a_check_typicality_tells_what_is_untypical() -> None:
    """A model of an earlier version flags nothing else."""
    plain = outputs(np.zeros((1, 4)), np.array([1e9]), typicality=0.01)
    assert flag_inputs(plain, None).tolist() == [[False, False, False, True]]
    assert not flag_inputs(outputs(np.zeros((1, 4)), np.array([1e9]), 0.02), None).any()


def test_thresholds_without_a_graph_for_them_are_refused() -> None:
    """A film is not called upright because nothing looked at it."""
    bare = GraphOutputs(*(np.zeros((1, *shape), np.float32) for shape in ((14,), (14, 7, 7), ())))
    with pytest.raises(InvalidAnswer, match="no input check"):
        flag_inputs(bare, CHECK)


@given(
    arrays(np.float64, st.tuples(st.integers(1, 6), st.just(4)), elements=st.floats(0.001, 1)),
    st.floats(0, 100),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_a_stricter_threshold_never_clears_a_film(
    classes: np.ndarray, distance: float, one: float, other: float
) -> None:
    """A higher threshold refuses what a lower one refuses, and a film has one class of flag at most."""
    probable = classes / classes.sum(axis=1, keepdims=True)
    given_outputs = outputs(probable, np.full(len(classes), distance))
    low, high = (
        flag_inputs(given_outputs, CHECK.model_copy(update={"upright_threshold": threshold}))
        for threshold in sorted((one, other))
    )
    assert (high >= low).all()
    by_class = high[:, [INPUT_FLAGS.index(name) for name in INPUT_CLASSES[1:]]]
    assert distance > 60 or (by_class.sum(axis=1) <= 1).all()
