"""An input check is fitted to tell upright films, and its thresholds are chosen."""

from collections.abc import Iterable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipelines.data.labelled_radiographs import LabelledRadiographs
from pipelines.evaluation.drawn_images import FITTED_KINDS, UNSEEN_KINDS, draw_images
from pipelines.training.input_check import (
    CheckedImages,
    CheckFilms,
    choose_threshold,
    films_by_source,
    fit_input_check,
    fit_regression,
    join_check_inputs,
)
from pipelines.training.input_check_images import (
    CheckImages,
    make_training_images,
    make_validation_images,
)
from pipelines.training.typicality import fit_typicality
from pleura.contract import INPUT_CLASSES
from tests.support.pipelines.trainings import random_radiographs

Shares = st.floats(0, 1, allow_subnormal=False)


def draw_films(count: int, seed: int) -> np.ndarray:
    """Draw films that are bright at the bottom, with a bright column in the middle, and noise."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:224, 0:224] / 224
    bright = rows**2 + np.exp(-(((columns - 0.5) / 0.1) ** 2))
    noise = random.normal(0, 0.05, (count, 224, 224)) + random.normal(0, 0.1, (count, 1, 1))
    grey = np.clip((bright + noise) / 2, 0, 1) * 255
    films: np.ndarray = grey.astype(np.uint8)
    return films


def compute_features(tensors: np.ndarray) -> np.ndarray:
    """Stand for a network: the mean of the rows and of the columns."""
    features: np.ndarray = np.concatenate([tensors.mean(axis=1), tensors.mean(axis=2)], axis=1) / 255
    return features


def test_a_fitted_check_tells_films_from_altered_ones_and_from_pictures() -> None:
    """New upright films pass; turned, inverted and drawn images get the flag of their class."""
    films = CheckFilms({"here": draw_films(60, 0)}, {"here": draw_films(60, 1)})
    features = compute_features(draw_films(60, 2))
    typicality = fit_typicality(features, compute_features(draw_films(60, 3)))
    check = fit_input_check(films, compute_features, typicality)
    new = draw_films(40, 4)

    def classes(images: np.ndarray) -> list[str]:
        inputs = join_check_inputs(images, compute_features(images))
        return [INPUT_CLASSES[place] for place in check.probabilities(inputs).argmax(axis=1)]

    assert classes(new).count("upright") >= 38
    assert classes(np.rot90(new, 1, (1, 2))).count("orientation") >= 38
    assert classes(255 - new).count("inverted") >= 38
    assert classes(np.concatenate(list(draw_images(UNSEEN_KINDS, 8, 5).values()))).count("upright") <= 2
    thresholds = check.thresholds
    assert 0 < thresholds.upright_threshold < 1
    assert thresholds.untypical_distance < thresholds.not_chest_distance
    assert thresholds.fitted_on[0] == "here: 60 films, upright and altered"


@given(
    arrays(np.float64, st.integers(1, 30), elements=Shares),
    arrays(np.float64, st.integers(1, 30), elements=Shares),
)
def test_a_threshold_keeps_the_bound_on_refused_films(upright: np.ndarray, others: np.ndarray) -> None:
    """At most 2 % of the films of a source are refused. Others are accepted only where this demands it."""
    threshold = choose_threshold({"here": upright}, {"turned": others})
    assert (upright < threshold).mean() <= 0.02
    if others.max() < upright.min():
        assert (others < threshold).all()


def test_a_small_source_counts_in_the_fit() -> None:
    """Ten films of a source that a thousand others contradict are still called upright."""
    random = np.random.default_rng(0)

    def checked(input_class: str, name: str, count: int, centre: float) -> CheckedImages:
        return CheckedImages(input_class, name, random.normal(centre, 1, (count, 5)), np.ones(count))

    images = [
        checked("upright", "large", 1000, 2.0),
        checked("upright", "small", 30, 0.8),
        *(
            checked(each, each, 500, centre)
            for each, centre in zip(INPUT_CLASSES[1:], (-2, -6, -9), strict=True)
        ),
    ]
    kernel, bias = fit_regression(images)
    assert kernel.shape == (5, 4)
    assert ((images[1].inputs @ kernel + bias).argmax(axis=1) == 0).mean() > 0.9


def _classes(images: Iterable[CheckImages]) -> set[str]:
    return {image.input_class for image in images if image.tensors.dtype == np.uint8 and len(image.tensors)}


def test_images_of_every_class_are_made_and_the_same_seed_makes_the_same() -> None:
    """Films, altered films, pieces of films, drawn and given pictures."""
    films, pictures = {"here": draw_films(6, 0)}, {"legs": draw_films(3, 1)}
    first, again = (list(make_training_images(films, pictures, 7)) for _ in range(2))
    assert _classes(first) == set(INPUT_CLASSES) == _classes(make_validation_images(films, pictures, 7))
    for one, other in zip(first, again, strict=True):
        assert one.name == other.name
        np.testing.assert_array_equal(one.tensors, other.tensors)
    assert {"piece of a film", "shuffled film", "legs", *FITTED_KINDS} <= {image.name for image in first}


def test_films_of_many_patients_are_taken_of_each_source() -> None:
    """A patient gets a second film only where each has one."""
    all_films = random_radiographs(6).concatenate(random_radiographs(2, source="there"))
    same = LabelledRadiographs(
        all_films.tensors, all_films.labels, np.array(list("aaabcdxy")), all_films.sources, all_films.paths
    )
    taken = films_by_source(same, 4)
    assert {source: len(films) for source, films in taken.items()} == {"nih_cxr14": 4, "there": 2}
    chosen = [int(np.flatnonzero((same.tensors == film).all(axis=(1, 2)))[0]) for film in taken["nih_cxr14"]]
    assert {same.patients[row] for row in chosen} == set("abcd")
