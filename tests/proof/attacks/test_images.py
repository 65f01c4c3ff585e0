"""Hostile files: each ends in an answer or an error, at a bounded cost, and the next file is answered."""

from collections.abc import Iterator

import pytest

from proof.attacks.files.case import HostileFile
from proof.attacks.files.dicom import DICOM
from proof.attacks.files.rasters import RASTERS
from proof.lab.decoders import MEMORY_MB, PROCESSOR_S, WALL_S, MeasuredDecoders, measured_decoders
from proof.lab.pictures import correlate, make_picture_tensor

LATE_S = 0.5
CASES = RASTERS | DICOM


@pytest.fixture(scope="module")
def reader() -> Iterator[MeasuredDecoders]:
    """One decoder with the service's defaults, for all cases one after the other."""
    with measured_decoders() as running:
        yield running


@pytest.mark.parametrize("name", CASES)
def test_hostile_file_is_answered_or_refused_at_a_bounded_cost(name: str, reader: MeasuredDecoders) -> None:
    """What must come of it comes, within the service's limits, and a good file is read next."""
    case = CASES[name]
    outcome = reader.read(case.file())
    if outcome.error is not None:
        assert isinstance(outcome.error, case.errors), repr(outcome.error)
    else:
        check_picture(case, outcome.tensor)
    assert outcome.is_good_next
    assert outcome.cost.processor_s <= PROCESSOR_S + LATE_S
    assert outcome.cost.wall_s <= WALL_S + LATE_S
    assert outcome.cost.peak_mb <= MEMORY_MB


def check_picture(case: HostileFile, tensor: object) -> None:
    """The picture is the one that the case names, upright and not inverted."""
    assert case.picture is not None, "this file must not be answered"
    assert correlate(tensor, make_picture_tensor(case.picture)) >= case.likeness  # type: ignore[arg-type]


def test_table_would_notice_an_inversion() -> None:
    """A case fails where the negative of its picture comes out."""
    case = CASES["PNG: 16 bits"]
    assert case.picture is not None
    with pytest.raises(AssertionError):
        check_picture(case, 255 - make_picture_tensor(case.picture))


def test_table_has_more_than_two_hundred_cases() -> None:
    """No part of it is lost unseen."""
    assert len(CASES) > 200
