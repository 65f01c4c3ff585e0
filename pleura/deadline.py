"""How long a request may still take, carried from hop to hop."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pleura.errors import DeadlineExceeded, InvalidRequest

TIMEOUT_HEADER: Final = "x-request-timeout-ms"


@dataclass(frozen=True)
class Deadline:
    """A point in time on the monotonic clock."""

    at_s: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """The deadline so many seconds from now."""
        return cls(time.monotonic() + seconds)

    @classmethod
    def from_headers(cls, headers: Mapping[str, str], limit_s: float) -> "Deadline":
        """The caller's deadline where it sends one, but never later than our own.

        Raises:
            InvalidRequest: The header is no positive whole number.
        """
        text = headers.get(TIMEOUT_HEADER)
        if text is None:
            return cls.after(limit_s)
        if not (text.isascii() and text.isdigit() and int(text[:10]) > 0):
            raise InvalidRequest(f"{TIMEOUT_HEADER} must be a positive number of milliseconds")
        return cls.after(min(limit_s, int(text[:10]) / 1000))

    @property
    def remaining_s(self) -> float:
        """Seconds left.

        Raises:
            DeadlineExceeded: None are.
        """
        left = self.at_s - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded("the time for this request has run out")
        return left

    def as_header(self) -> str:
        """The milliseconds left, for the next hop."""
        return str(max(1, int(self.remaining_s * 1000)))
