"""The deadline of a request, which each service passes on to the next."""

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
        """Make the deadline that ends so many seconds from now."""
        return cls(time.monotonic() + seconds)

    @classmethod
    def from_headers(cls, headers: Mapping[str, str], limit_s: float) -> "Deadline":
        """Read the caller's deadline, limited to ``limit_s`` from now; the limit alone without one.

        Raises:
            InvalidRequest: The header is not a positive whole number.
        """
        text = headers.get(TIMEOUT_HEADER)
        if text is None:
            return cls.after(limit_s)
        # isdigit accepts a superscript two, and int() fails on that, and on thousands of digits
        if not (text.isascii() and text.isdigit() and int(text[:10]) > 0):
            raise InvalidRequest(f"{TIMEOUT_HEADER} must be a positive number of milliseconds")
        return cls.after(min(limit_s, int(text[:10]) / 1000))

    @property
    def remaining_s(self) -> float:
        """The seconds that remain.

        Raises:
            DeadlineExceeded: The deadline has passed.
        """
        remaining_s = self.at_s - time.monotonic()
        if remaining_s <= 0:
            raise DeadlineExceeded("the time for this request has run out")
        return remaining_s

    def as_header(self) -> str:
        """Write the remaining milliseconds for the next service."""
        return str(max(1, int(self.remaining_s * 1000)))
