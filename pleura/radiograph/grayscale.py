"""From stored values to the greys that a viewer shows: the grey-scale pipeline of DICOM as one table.

The pipeline depends on the stored value alone. Pleura computes it once for each value that can occur (65,536
at most) and looks each pixel up: the result is exact, and faster than computing millions of pixels.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pleura.errors import RefusedRadiograph, UnreadableRadiograph

Values = NDArray[np.float64]
_WHITE: Final = 65_535.0
_LARGEST_NUMBER: Final = 1e9
_ROWS_AT_A_TIME: Final = 32
_UNCERTAIN: Final = "the DICOM file contradicts itself about which values are black"


def to_display_grayscale(stored: NDArray[np.integer[Any]], dataset: Dataset) -> NDArray[np.uint16]:
    """Apply modality LUT, VOI LUT, polarity and padding.

    Args:
        stored: Stored values, shape (rows, columns), 8 or 16 bits, signed or not.
        dataset: The header; it is not changed.

    Returns:
        uint16, shape as given, 0 black, linear in the displayed grey.

    Raises:
        RefusedRadiograph: The file contradicts itself about which end is black.
        UnreadableRadiograph: A table or a number of the pipeline is invalid.

    Source:
        DICOM PS3.3 C.7.6.3.1.2 (polarity), C.7.5.1.1.2 (padding), C.11.1 (modality), C.11.2 (VOI).
    """
    values = np.arange(int(stored.min()), int(stored.max()) + 1)
    greys = _apply_voi_lut(_apply_modality_lut(values.astype(np.float64), dataset), dataset)
    if not np.isfinite(greys).all():
        raise UnreadableRadiograph("the grey scale of the DICOM file is not finite")
    if is_inverted(dataset):
        greys = -greys
    scaled = _scale(greys, _is_padding(values, dataset))
    return _look_up(stored, values, scaled)


def is_inverted(dataset: Dataset) -> bool:
    """Say whether low values are white.

    Raises:
        RefusedRadiograph: Photometric interpretation and presentation LUT shape disagree, and so do viewers.

    Source:
        DICOM PS3.3 C.8.11.3 (INVERSE belongs to MONOCHROME1, IDENTITY to MONOCHROME2).
    """
    by_photometric = dataset.PhotometricInterpretation == "MONOCHROME1"
    shape = dataset.get("PresentationLUTShape") or None
    if shape not in (None, "IDENTITY", "INVERSE") or (shape and (shape == "INVERSE") != by_photometric):
        raise RefusedRadiograph(_UNCERTAIN)
    return bool(by_photometric)


def _apply_modality_lut(values: Values, dataset: Dataset) -> Values:
    """Apply the table, or else slope and intercept (PS3.3 C.11.1)."""
    if dataset.get("ModalityLUTSequence"):
        return _apply_lut(values, dataset.ModalityLUTSequence[0], dataset)
    slope, intercept = _read_number(dataset, "RescaleSlope"), _read_number(dataset, "RescaleIntercept")
    slope = 1.0 if slope is None else slope
    if slope == 0.0:
        raise UnreadableRadiograph("the rescale slope of the DICOM file is zero")
    if intercept is None:
        # Slope and intercept belong together; some viewers ignore a slope without an intercept.
        if slope < 0.0:
            raise RefusedRadiograph(_UNCERTAIN)
        intercept = 0.0
    return np.asarray(values * slope + intercept, np.float64)


def _apply_voi_lut(values: Values, dataset: Dataset) -> Values:
    """Apply the table, or else the window (PS3.3 C.11.2)."""
    if dataset.get("VOILUTSequence"):
        return _apply_lut(values, dataset.VOILUTSequence[0], dataset)
    centre, width = _read_number(dataset, "WindowCenter"), _read_number(dataset, "WindowWidth")
    function = str(dataset.get("VOILUTFunction") or "LINEAR")
    if function not in _WINDOW_FUNCTIONS:
        raise UnreadableRadiograph("the VOI LUT function of the DICOM file is unknown")
    # Some devices write a width that the standard forbids, to say that there is no window.
    if centre is None or width is None or width < (1.0 if function == "LINEAR" else 1e-6):
        return values
    return _WINDOW_FUNCTIONS[function](values, centre, width)


def _window_linear(values: Values, centre: float, width: float) -> Values:
    """PS3.3 C.11.2.1.2.1."""
    if width == 1.0:
        return (values > centre - 0.5).astype(np.float64)
    return np.clip((values - (centre - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)


def _window_linear_exact(values: Values, centre: float, width: float) -> Values:
    """PS3.3 C.11.2.1.3.2."""
    return np.clip((values - centre) / width + 0.5, 0.0, 1.0)


def _window_sigmoid(values: Values, centre: float, width: float) -> Values:
    """PS3.3 C.11.2.1.3.1."""
    return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -60.0, 60.0)))


_WINDOW_FUNCTIONS: Final[dict[str, Callable[[Values, float, float], Values]]] = {
    "LINEAR": _window_linear,
    "LINEAR_EXACT": _window_linear_exact,
    "SIGMOID": _window_sigmoid,
}


def _read_number(dataset: Dataset, keyword: str) -> Any:
    """Read the first value of a decimal string; None if the element is absent or empty.

    Raises:
        UnreadableRadiograph: The value is not finite, or larger than 1e9.
    """
    value = dataset.get(keyword)
    if value is None or value == "":
        return None
    if not isinstance(value, str | int | float):
        value = value[0]
    number = float(value)
    if not abs(number) <= _LARGEST_NUMBER:
        raise UnreadableRadiograph(f"{keyword} of the DICOM file is not a sensible number")
    return number


def _apply_lut(values: Values, item: Dataset, dataset: Dataset) -> Values:
    """Apply the table of a sequence item; values beyond its ends take the entry at that end.

    Source:
        DICOM PS3.3 C.11.1.1.1, C.11.2.1.1 (LUT descriptor).
    """
    count, first, bits = (int(number) for number in item.LUTDescriptor)
    count = count or 2**16
    if dataset.get("PixelRepresentation") == 1 and first > 2**15 - 1 and "RescaleSlope" not in dataset:
        first -= 2**16
    entries = _read_lut_entries(item.LUTData, count, dataset.original_encoding[1] is False)
    if len(entries) < count or not 1 <= bits <= 16:
        raise UnreadableRadiograph("a lookup table of the DICOM file is shorter than it announces")
    positions = np.clip(np.rint(values) - first, 0, count - 1).astype(np.int64)
    return np.asarray(entries[positions], np.float64)


def _read_lut_entries(data: Any, count: int, is_big_endian: bool) -> NDArray[np.integer[Any]]:
    if not isinstance(data, bytes):
        return np.atleast_1d(np.asarray(data, np.int64)) & 0xFFFF
    if len(data) < 2 * count:
        return np.frombuffer(data, np.uint8)
    return np.frombuffer(data[: 2 * count], ">u2" if is_big_endian else "<u2")


def _is_padding(values: NDArray[np.integer[Any]], dataset: Dataset) -> NDArray[np.bool_]:
    """Mark the values that fill the area around the radiograph (PS3.3 C.7.5.1.1.2)."""
    padding = dataset.get("PixelPaddingValue")
    if not isinstance(padding, int):
        return np.zeros(values.shape, np.bool_)
    limit = dataset.get("PixelPaddingRangeLimit")
    low, high = sorted((padding, limit if isinstance(limit, int) else padding))
    return (values >= low) & (values <= high)


def _scale(greys: Values, is_padding: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Stretch the greys to 16 bits; padding is black and does not count."""
    visible = greys[~is_padding]
    black, white = (visible.min(), visible.max()) if visible.size else (0.0, 0.0)
    scaled = np.rint((greys - black) * (_WHITE / (white - black or 1.0)))
    scaled[is_padding] = 0.0
    return scaled.astype(np.uint16)


def _look_up(
    stored: NDArray[np.integer[Any]], values: NDArray[np.integer[Any]], greys: NDArray[np.uint16]
) -> NDArray[np.uint16]:
    """Replace each stored value by its grey; ``greys`` are in the order of ``values``."""
    cell = np.dtype(f"u{stored.dtype.itemsize}")
    table = np.zeros(2 ** (8 * cell.itemsize), np.uint16)
    table[values.astype(stored.dtype).view(cell)] = greys
    displayed = np.empty(stored.shape, np.uint16)
    # numpy widens the indices to eight bytes each: take a few rows at a time, not a whole radiograph.
    for start in range(0, len(stored), _ROWS_AT_A_TIME):
        rows = slice(start, start + _ROWS_AT_A_TIME)
        np.take(table, stored[rows].view(cell), out=displayed[rows], mode="clip")
    return displayed
