"""Deadlines from service to service."""

import pytest

from pleura.deadline import TIMEOUT_HEADER, Deadline
from pleura.errors import DeadlineExceeded, InvalidRequest


def test_the_earlier_of_both_limits_holds() -> None:
    """A caller may ask for less time than we allow, never for more."""
    assert Deadline.from_headers({TIMEOUT_HEADER: "500"}, 10).remaining_s <= 0.5
    assert Deadline.from_headers({TIMEOUT_HEADER: "99999999999999"}, 10).remaining_s <= 10
    assert 9 < Deadline.from_headers({}, 10).remaining_s <= 10


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "1e3", "٣", "ten"])
def test_an_invalid_timeout_is_refused(text: str) -> None:
    """Only a positive whole number of milliseconds is a timeout."""
    with pytest.raises(InvalidRequest, match=TIMEOUT_HEADER):
        Deadline.from_headers({TIMEOUT_HEADER: text}, 10)


def test_a_passed_deadline_raises() -> None:
    """No work starts after the deadline, and the next service gets the remaining time."""
    with pytest.raises(DeadlineExceeded):
        _ = Deadline.after(-0.001).remaining_s
    assert 8000 < int(Deadline.after(9).as_header()) <= 9000
