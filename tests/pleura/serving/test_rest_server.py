"""The REST server, and its byte budget."""

import pytest

from pleura.errors import Overloaded
from pleura.serving.byte_budget import ByteBudget


def test_the_budget_is_limited_and_released() -> None:
    """Request bodies share one budget: it rejects a body that does not fit, and gets all bytes back."""
    budget = ByteBudget(10)
    with budget.reservation() as take:
        take(6)
        with budget.reservation() as other, pytest.raises(Overloaded):
            other(5)
        take(4)
    with budget.reservation() as take:
        take(10)
