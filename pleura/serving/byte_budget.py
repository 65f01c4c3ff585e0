"""A byte budget for request bodies held in memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pleura.errors import Overloaded


class ByteBudget:
    """The bytes of request bodies that may be in memory at one time."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes, self._reserved_bytes = limit_bytes, 0

    @contextmanager
    def reservation(self) -> Iterator[Callable[[int], None]]:
        """Yield a function that reserves bytes; the end of the block releases all of them.

        The function raises ``Overloaded`` where the budget is used up.
        """
        own_bytes = 0

        def reserve(size: int) -> None:
            nonlocal own_bytes
            if self._reserved_bytes + size > self._limit_bytes:
                raise Overloaded("too much is being sent at one time")
            self._reserved_bytes += size
            own_bytes += size

        try:
            yield reserve
        finally:
            self._reserved_bytes -= own_bytes
