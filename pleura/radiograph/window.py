"""Read and apply the window of a DICOM header."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

import numpy as np
from pydicom.dataset import Dataset

from pleura.errors import UnreadableRadiograph
from pleura.radiograph.decimal_strings import read_numbers, read_word
from pleura.radiograph.lookup_table import Values


@dataclass(frozen=True)
class GreyWindow:
    """Which modality values are shown, from black (0.0) to white (1.0).

    Source:
        DICOM PS3.3 C.11.2.1.2.
    """

    centre: float
    width: float
    function: str

    def apply(self, values: Values) -> Values:
        """Give the grey of each value."""
        return _FUNCTIONS[self.function](values, self.centre, self.width)


def read_window(dataset: Dataset) -> GreyWindow | None:
    """Read the first window that has a centre and a width; None if there is none.

    Raises:
        UnreadableRadiograph: The window is not a pair of numbers, or its function is unknown.
    """
    function = read_word(dataset, "VOILUTFunction") or "LINEAR"
    if function not in _FUNCTIONS:
        raise UnreadableRadiograph("the VOI LUT function of the DICOM file is unknown")
    pairs = zip_longest(read_numbers(dataset, "WindowCenter"), read_numbers(dataset, "WindowWidth"))
    for centre, width in pairs:
        if centre is not None and width is not None:
            # Some devices write a width that the standard forbids, to say that there is no window.
            is_valid = width >= (1.0 if function == "LINEAR" else 1e-6)
            return GreyWindow(centre, width, function) if is_valid else None
    return None


def _apply_linear(values: Values, centre: float, width: float) -> Values:
    """PS3.3 C.11.2.1.2.1."""
    if width == 1.0:
        return (values > centre - 0.5).astype(np.float64)
    return np.clip((values - (centre - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)


def _apply_linear_exact(values: Values, centre: float, width: float) -> Values:
    """PS3.3 C.11.2.1.3.2."""
    return np.clip((values - centre) / width + 0.5, 0.0, 1.0)


def _apply_sigmoid(values: Values, centre: float, width: float) -> Values:
    """PS3.3 C.11.2.1.3.1."""
    return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -60.0, 60.0)))


_FUNCTIONS: Final[dict[str, Callable[[Values, float, float], Values]]] = {
    "LINEAR": _apply_linear,
    "LINEAR_EXACT": _apply_linear_exact,
    "SIGMOID": _apply_sigmoid,
}
