"""Hostile files: each ends in an answer or an error, at a bounded cost, and the next file is answered."""

from collections.abc import Iterator

import pytest

from tests.attacks.cases import Case
from tests.attacks.decoders import Decoders, decoders
from tests.attacks.hostile_dicom import DICOM
from tests.attacks.hostile_rasters import RASTERS
from tests.attacks.pictures import correlation, seen

MOST_S, MOST_MB = 1.0, 512.0
TICK_S = 0.05
CASES = RASTERS | DICOM


@pytest.fixture(scope="module")
def reader() -> Iterator[Decoders]:
    """One decoder with the service's defaults, for all cases one after the other."""
    with decoders() as running:
        yield running


@pytest.mark.parametrize("name", CASES)
def test_hostile_file_is_answered_or_refused_at_a_bounded_cost(name: str, reader: Decoders) -> None:
    """What must come of it comes, within 1 s of processor time and 512 MB, and a good file is read next."""
    case = CASES[name]
    outcome = reader.read(case.file())
    if outcome.error is not None:
        assert isinstance(outcome.error, case.errors), repr(outcome.error)
    else:
        check_picture(case, outcome.tensor)
    # a worker that was ended for its time leaves no account: its limit is the proof
    assert outcome.processor_s is None or outcome.processor_s <= MOST_S + TICK_S
    assert outcome.peak_mb is None or outcome.peak_mb <= MOST_MB


def check_picture(case: Case, tensor: object) -> None:
    """The picture is the one that the case names, upright and not inverted."""
    assert case.picture is not None, "this file must not be answered"
    if case.likeness > -1:
        assert correlation(tensor, seen(case.picture)) >= case.likeness  # type: ignore[arg-type]


def test_table_would_notice_an_inversion() -> None:
    """A case fails where the negative of its picture comes out."""
    case = CASES["PNG: 16 bits"]
    assert case.picture is not None
    with pytest.raises(AssertionError):
        check_picture(case, 255 - seen(case.picture))


def test_table_has_more_than_two_hundred_cases() -> None:
    """No part of it is lost unseen."""
    assert len(CASES) > 200
