"""What refusing by typicality costs and catches."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pipelines.evaluation.evaluation import EvaluationProtocol
from pipelines.evaluation.refusals import (
    FlaggedImages,
    alter_radiographs,
    evaluate_flags,
    evaluate_refusals,
    refusal_rate,
)

PROTOCOL = EvaluationProtocol(draws=200, typicality_thresholds=(0.1, 0.5))
KNOWN = np.linspace(0, 1, 101)
PATIENTS = np.array([f"p{i}" for i in range(101)])


def test_rates_are_counted() -> None:
    """Below 0.1 lie ten of 101 known radiographs and three of four others, at 0.1 the rest is answered."""
    found = evaluate_refusals((KNOWN, PATIENTS), {}, {"legs": np.array([0.0, 0.02, 0.05, 0.3])}, PROTOCOL)
    assert found.alike[0].rates[0].rate.count == 10
    assert [each.rate.count for each in found.unlike[0].rates] == [1, 0]
    assert found.unlike[0].auroc is None


def test_a_higher_threshold_refuses_more() -> None:
    """False refusals rise and false acceptances fall with the threshold."""
    found = evaluate_refusals((KNOWN, PATIENTS), {"elsewhere": KNOWN / 2}, {"turned": KNOWN / 3}, PROTOCOL)
    for kind in found.alike:
        assert kind.rates[0].rate.value < kind.rates[1].rate.value
    assert found.unlike[0].rates[0].rate.value > found.unlike[0].rates[1].rate.value


def test_the_area_is_that_of_scikit_learn() -> None:
    """How well typicality sets a kind apart is an AUROC like any other."""
    unlike = np.linspace(0, 0.6, 31)
    area = evaluate_refusals((KNOWN, PATIENTS), {}, {"turned": unlike}, PROTOCOL).unlike[0].auroc
    assert area is not None
    expected = roc_auc_score(np.repeat([1, 0], [101, 31]), np.concatenate([KNOWN, unlike]))
    assert area.value == pytest.approx(expected)
    assert area.low < area.value < area.high


def test_none_of_four_is_not_never() -> None:
    """Where nothing was answered wrongly, the interval says how much there still may be."""
    none = refusal_rate(0, 4)
    assert (none.value, none.low) == (0, 0)
    assert none.high == pytest.approx(0.4899, abs=1e-4)


@pytest.mark.parametrize("bad", [np.array([]), np.array([np.nan]), np.array([1.5])])
def test_a_typicality_outside_0_and_1_is_refused(bad: np.ndarray) -> None:
    """An empty kind, or a typicality that is not a number in [0, 1], stops the evaluation."""
    with pytest.raises(ValueError, match="typicality"):
        evaluate_refusals((KNOWN, PATIENTS), {}, {"turned": bad}, PROTOCOL)


def test_films_are_turned_mirrored_and_inverted() -> None:
    """A bright corner at the top left goes where each way of turning puts it."""
    film = np.zeros((1, 224, 224), np.uint8)
    film[0, :10, :20] = 255
    ways = alter_radiographs(film)
    assert ways["turned 90 degrees"][0, 204:, :10].all()
    assert ways["turned 270 degrees"][0, :20, 214:].all()
    assert ways["upside down"][0, 214:, 204:].all()
    assert ways["mirrored"][0, :10, 204:].all()
    assert ways["flipped top to bottom"][0, 214:, :20].all()
    assert not ways["inverted"][0, :10, :20].any()
    assert all(int((way > 0).sum()) in (200, 224 * 224 - 200) for way in ways.values())


def test_refused_images_are_counted_and_untypical_ones_are_not() -> None:
    """An image with two flags is refused once. A film that is only untypical is answered."""
    flags = np.array([[1, 0, 0, 1], [1, 1, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]], np.bool_)
    found = evaluate_flags(FlaggedImages("legs", False, flags, np.array(["a", "a", "b", "c"])))
    assert found.refused.value == 0.5
    assert found.flagged == {"not_chest": 2, "orientation": 1, "inverted": 0, "untypical": 3}
    assert (found.images, found.patients) == (4, 3)
