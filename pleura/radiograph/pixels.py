"""What a decoded radiograph is, and how large one may be."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pleura.errors import TooLarge, UnreadableRadiograph


@dataclass(frozen=True)
class Radiograph:
    """A radiograph as it would be displayed."""

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    """Shape (rows, columns); 0 is black, bone is brighter than air; greys are linear, their scale is free."""

    view_position: str | None = None
    """PA, AP, LL, RL ... where the file says so in the standard's own words (0018,5101)."""


def require_allowed_size(rows: int, columns: int, max_pixels: int) -> None:
    """Refuse dimensions that a header announces, before anything of that size is allocated.

    Raises:
        UnreadableRadiograph: A dimension is zero.
        TooLarge: There would be more than ``max_pixels`` pixels.
    """
    if rows < 1 or columns < 1:
        raise UnreadableRadiograph("the header announces no pixels")
    if rows * columns > max_pixels:
        raise TooLarge(f"{rows} x {columns} pixels are more than the {max_pixels} that are allowed")
