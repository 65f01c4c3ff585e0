"""A decoded radiograph, and how large a radiograph may be."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pleura.errors import TooLarge, UnreadableRadiograph
from pleura.identifiers import NO_IDENTIFIERS, Identifiers
from pleura.radiograph.observations import RadiographObservation

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class Radiograph:
    """A radiograph as it would be displayed."""

    pixels: Pixels
    """Shape (rows, columns); 0 is black, bone is brighter than air; greys are linear, on any scale."""

    view_position: str | None = None
    """PA, AP, LL, RL and so on; None if the file has no value of the standard's (0018,5101)."""

    observations: tuple[RadiographObservation, ...] = ()
    """What was noticed besides the picture."""

    identifiers: Identifiers = NO_IDENTIFIERS
    """Accession number and UIDs of the header; only DICOM files have them."""


def require_allowed_size(rows: int, columns: int, max_pixels: int) -> None:
    """Require allowed dimensions in a header, before a decoder allocates memory of that size.

    Raises:
        UnreadableRadiograph: A dimension is zero.
        TooLarge: There would be more than ``max_pixels`` pixels.
    """
    if rows < 1 or columns < 1:
        raise UnreadableRadiograph("the header announces no pixels")
    if rows * columns > max_pixels:
        raise TooLarge(f"{rows} x {columns} pixels are more than the {max_pixels} that are allowed")
