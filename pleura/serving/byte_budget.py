"""How much of what callers send may be in memory at one time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pleura.errors import Overloaded


class ByteBudget:
    """Bytes of request bodies that may be in memory at one time."""

    def __init__(self, most: int) -> None:
        self._most, self._held = most, 0

    @contextmanager
    def held(self) -> Iterator[Callable[[int], None]]:
        """Give a function that takes room for so many bytes more; all of it is given back at the end.

        The function raises ``Overloaded`` where there is no room.
        """
        mine = 0

        def take(size: int) -> None:
            nonlocal mine
            if self._held + size > self._most:
                raise Overloaded("too much is being sent at one time")
            self._held += size
            mine += size

        try:
            yield take
        finally:
            self._held -= mine
