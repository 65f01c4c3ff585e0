"""Activation maps against the boxes of radiologists."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.evaluation.evaluation import EvaluationProtocol
from pipelines.evaluation.localisation import (
    FindingLocalisation,
    LocalisationBox,
    activated_region,
    enlarge_map,
    evaluate_localisation,
    highest_point,
    iou,
)
from pleura.contract import SIZE_PX
from pleura.findings import FINDINGS

PROTOCOL = EvaluationProtocol(draws=200)
MASS = FINDINGS.index("Mass")


def _maps(places: list[tuple[int, int]]) -> np.ndarray:
    """Maps of the mass that have one hot place each, by row and column."""
    maps = np.zeros((len(places), len(FINDINGS), 7, 7))
    for number, (row, column) in enumerate(places):
        maps[number, MASS, row, column] = 1
    return maps


def _around(number: int, row: int, column: int) -> LocalisationBox:
    return LocalisationBox(number, "Mass", column / 7, row / 7, 1 / 7, 1 / 7)


def _patients(n: int) -> np.ndarray:
    return np.array([f"p{i}" for i in range(n)])


PLACES = [(1, 1), (1, 5), (5, 1), (5, 5), (2, 4), (4, 2), (1, 3), (3, 1), (5, 3), (3, 5), (2, 2), (4, 4)]


def _figures(found: tuple[FindingLocalisation, ...]) -> dict[str, float]:
    names = tuple(FindingLocalisation.model_fields)[3:]
    return {name: getattr(found[0], name).value for name in names}


def test_maps_that_point_into_the_boxes_hit() -> None:
    """A hot place in every box hits always, far more than chance, the centre, or others' maps."""
    boxes = [_around(n, *place) for n, place in enumerate(PLACES)]
    figures = _figures(evaluate_localisation(_maps(PLACES), _patients(12), boxes, PROTOCOL))
    assert figures["pointing"] == 1
    assert figures["pointing_random"] == pytest.approx(1 / 49)
    assert figures["pointing_centre"] == 0
    assert figures["pointing_other"] == 0
    assert figures["iou"] > 0.5 > 0.1 > figures["iou_random"]


def test_maps_that_know_nothing_are_no_better_than_others() -> None:
    """One and the same map for everybody gains nothing over the map of another patient."""
    boxes = [_around(n, *place) for n, place in enumerate(PLACES)]
    same = evaluate_localisation(_maps([(1, 1)] * 12), _patients(12), boxes, PROTOCOL)
    figures = _figures(same)
    assert figures["pointing"] == figures["pointing_other"] == pytest.approx(1 / 12)


def test_the_map_of_the_boxed_finding_is_taken() -> None:
    """A hot place in the map of another finding does not count."""
    maps = _maps(PLACES)
    maps[:, FINDINGS.index("Nodule")] = 5 * np.roll(maps[:, MASS], 3, axis=2)
    boxes = [_around(n, *place) for n, place in enumerate(PLACES)]
    assert _figures(evaluate_localisation(maps, _patients(12), boxes, PROTOCOL))["pointing"] == 1


def test_a_constant_added_to_a_map_changes_nothing() -> None:
    """Where a map points does not depend on its level."""
    boxes = [_around(n, *place) for n, place in enumerate(PLACES)]
    maps = np.round(np.random.default_rng(0).normal(size=(12, 14, 7, 7)), 2)
    one = evaluate_localisation(maps, _patients(12), boxes, PROTOCOL)
    assert evaluate_localisation(maps + 8, _patients(12), boxes, PROTOCOL) == one


def test_few_boxes_give_no_figure() -> None:
    """Nine boxes are counted, and no number is made of them; none at all give nothing."""
    boxes = [_around(n, *PLACES[n]) for n in range(9)]
    found = evaluate_localisation(_maps(PLACES), _patients(12), boxes, PROTOCOL)
    assert [(each.finding, each.boxes, each.pointing) for each in found] == [
        ("all", 9, None),
        ("Mass", 9, None),
    ]
    assert evaluate_localisation(_maps(PLACES), _patients(12), [], PROTOCOL) == ()


def test_the_order_of_boxes_changes_nothing() -> None:
    """The same boxes in another order give the same figures, to the bit."""
    boxes = [_around(n, *place) for n, place in enumerate(PLACES)]
    maps = np.random.default_rng(0).normal(size=(12, 14, 7, 7))
    one = evaluate_localisation(maps, _patients(12), boxes, PROTOCOL)
    assert evaluate_localisation(maps, _patients(12), boxes[::-1], PROTOCOL) == one


@given(st.lists(st.integers(0, SIZE_PX - 1), min_size=8, max_size=8))
def test_overlap_is_that_of_the_pixels(numbers: list[int]) -> None:
    """Intersection over union by arithmetic is that by counting pixels."""
    corners = [
        (min(a, b), min(c, d), max(a, b) + 1, max(c, d) + 1) for a, b, c, d in (numbers[:4], numbers[4:])
    ]
    pictures = []
    for left, top, right, bottom in corners:
        picture = np.zeros((SIZE_PX, SIZE_PX), bool)
        picture[top:bottom, left:right] = True
        pictures.append(picture)
    expected = (pictures[0] & pictures[1]).sum() / (pictures[0] | pictures[1]).sum()
    assert iou(*corners) == pytest.approx(expected)


@given(st.integers(0, 6), st.integers(0, 6))
def test_the_region_lies_around_the_highest_point(row: int, column: int) -> None:
    """One hot cell gives a region that holds it and reaches little farther."""
    wide = enlarge_map(_maps([(row, column)])[0, MASS])
    left, top, right, bottom = activated_region(wide)
    x, y = highest_point(wide)
    assert left <= x < right
    assert top <= y < bottom
    assert x // 32 == column
    assert y // 32 == row
    assert (right - left) * (bottom - top) < (2 * 32) ** 2


def test_boxes_stay_on_the_radiograph() -> None:
    """A box that leaves the radiograph, or has no width, still covers a pixel of it."""
    assert LocalisationBox(0, "Mass", 0.9, 0.9, 0.5, 0.5).corners == (202, 202, 224, 224)
    assert LocalisationBox(0, "Mass", 1.0, 0.0, 0.0, 0.0).corners == (223, 0, 224, 1)
