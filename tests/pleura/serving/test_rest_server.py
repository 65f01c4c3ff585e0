"""What the REST edge holds in memory."""

import pytest

from pleura.errors import Overloaded
from pleura.serving.byte_budget import ByteBudget


def test_room_is_bounded_and_given_back() -> None:
    """Bodies share one room; who finds it full is turned away, and who leaves gives back all of it."""
    room = ByteBudget(10)
    with room.held() as take:
        take(6)
        with room.held() as other, pytest.raises(Overloaded):
            other(5)
        take(4)
    with room.held() as take:
        take(10)
