"""Every hostile file is read or refused at a bounded cost, and the decoder reads the next file."""

from collections.abc import Iterator

import pytest

from proof.attacks.files.case import HostileFile
from proof.attacks.files.dicom import DICOM
from proof.attacks.files.rasters import RASTERS
from proof.lab.decoders import MEMORY_MB, PROCESSOR_S, WALL_S, MeasuredDecoders, measured_decoders
from proof.lab.pictures import correlate, make_picture_tensor

TOLERANCE_S = 0.5
CASES = RASTERS | DICOM


@pytest.fixture(scope="module")
def reader() -> Iterator[MeasuredDecoders]:
    """One decoder with the service's default settings, which reads all cases."""
    with measured_decoders() as running:
        yield running


@pytest.mark.parametrize("name", CASES)
def test_hostile_file_is_answered_or_refused_at_a_bounded_cost(name: str, reader: MeasuredDecoders) -> None:
    """The outcome is allowed by the table, the cost within the limits, and the next good file is read."""
    case = CASES[name]
    outcome = reader.read(case.file())
    if outcome.error is not None:
        assert isinstance(outcome.error, case.errors), repr(outcome.error)
    else:
        check_picture(case, outcome.tensor)
    assert outcome.is_good_next
    assert outcome.cost.processor_s <= PROCESSOR_S + TOLERANCE_S
    assert outcome.cost.wall_s <= WALL_S + TOLERANCE_S
    assert outcome.cost.peak_mb <= MEMORY_MB


def check_picture(case: HostileFile, tensor: object) -> None:
    """Check that the picture is the one of the case, upright and not inverted."""
    assert case.picture is not None, "this file must be refused"
    assert correlate(tensor, make_picture_tensor(case.picture)) >= case.likeness  # type: ignore[arg-type]


def test_an_inverted_picture_fails_its_case() -> None:
    """A case fails if the result is the negative of its picture."""
    case = CASES["PNG: 16 bits"]
    assert case.picture is not None
    with pytest.raises(AssertionError):
        check_picture(case, 255 - make_picture_tensor(case.picture))


def test_table_has_more_than_two_hundred_cases() -> None:
    """The number of cases shows if a part of the table is lost."""
    assert len(CASES) > 200
