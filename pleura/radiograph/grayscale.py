"""From stored values to the greys that a viewer shows: the grey-scale pipeline of DICOM as one table.

The pipeline depends on the stored value alone. Pleura computes it once for each value that can occur (65,536
at most) and looks each pixel up: the result is exact, and faster than computing millions of pixels.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pleura.errors import RefusedRadiograph, UnreadableRadiograph
from pleura.radiograph.decimal_strings import read_number, read_word
from pleura.radiograph.dicom_layout import PixelLayout
from pleura.radiograph.lookup_table import Values, find_table_item, read_table
from pleura.radiograph.padding import is_padding
from pleura.radiograph.shutter import Shutter
from pleura.radiograph.window import read_window

_WHITE: Final = 65_535.0
_ROWS_AT_A_TIME: Final = 32
_UNCERTAIN: Final = "the DICOM file contradicts itself about which values are black"


def to_display_grayscale(
    stored: NDArray[np.integer[Any]], dataset: Dataset, layout: PixelLayout, shutter: Shutter | None = None
) -> NDArray[np.uint16]:
    """Apply modality LUT, VOI LUT, polarity, padding and shutter.

    Args:
        stored: Stored values, shape (rows, columns), 8 or 16 bits, signed or not.
        dataset: The header; it is not changed.
        layout: The layout of the pixels.
        shutter: The display shutter, if the header has one.

    Returns:
        uint16, shape as given, 0 black, linear in the displayed grey.

    Raises:
        RefusedRadiograph: The file contradicts itself about which end is black, or a shutter hides all of it.
        UnreadableRadiograph: A table or a number of the pipeline is invalid.

    Source:
        DICOM PS3.3 C.7.6.3.1.2 (polarity), C.7.5.1.1.2 (padding), C.11.1 (modality), C.11.2 (VOI), C.7.6.11
        (shutter).
    """
    shown = stored if shutter is None else stored[~shutter.hidden]
    if not shown.size:
        raise RefusedRadiograph("the display shutter hides the whole radiograph", reason="blank")
    values = np.arange(int(shown.min()), int(shown.max()) + 1)
    greys, ends = _apply_luts(values.astype(np.float64), dataset, layout)
    if not np.isfinite(greys).all():
        raise UnreadableRadiograph("the grey scale of the DICOM file is not finite")
    if is_inverted(dataset):
        greys, ends = -greys, (-ends[1], -ends[0])
    padding = is_padding(values, dataset, layout)
    if shutter is None:
        return _look_up(stored, values, _scale(greys, padding))
    level = _find_shutter_level(shutter.grey, greys[~padding], ends)
    scaled = _scale(np.append(greys, level), np.append(padding, False))
    displayed = _look_up(stored, values, scaled[:-1])
    displayed[shutter.hidden] = scaled[-1]
    return displayed


def is_inverted(dataset: Dataset) -> bool:
    """Say whether low values are white.

    Raises:
        RefusedRadiograph: Photometric interpretation and presentation LUT shape disagree, and so do viewers.

    Source:
        DICOM PS3.3 C.8.11.3 (INVERSE belongs to MONOCHROME1, IDENTITY to MONOCHROME2).
    """
    by_photometric = dataset.PhotometricInterpretation == "MONOCHROME1"
    shape = read_word(dataset, "PresentationLUTShape")
    if shape not in ("", "IDENTITY", "INVERSE") or (shape and (shape == "INVERSE") != by_photometric):
        raise RefusedRadiograph(_UNCERTAIN, reason="uncertain_polarity")
    return bool(by_photometric)


def _apply_luts(values: Values, dataset: Dataset, layout: PixelLayout) -> tuple[Values, tuple[float, float]]:
    """Apply modality LUT and VOI LUT, and give the lowest and highest grey that they can give."""
    is_big_endian = dataset.original_encoding[1] is False
    item = find_table_item(dataset, "ModalityLUTSequence", "RescaleSlope")
    if item is not None:
        table = read_table(item, layout.stored_range, is_big_endian=is_big_endian)
        values, ends = table.apply(values), (0.0, 2.0**table.bits - 1)
    else:
        slope, intercept = _read_rescale(dataset)
        values = np.asarray(values * slope + intercept, np.float64)
        low, high = sorted(number * slope + intercept for number in layout.stored_range)
        ends = (low, high)
    item = find_table_item(dataset, "VOILUTSequence", "WindowCenter")
    if item is not None:
        table = read_table(item, ends, is_big_endian=is_big_endian)
        return table.apply(values), (0.0, 2.0**table.bits - 1)
    window = read_window(dataset)
    return (values, ends) if window is None else (window.apply(values), (0.0, 1.0))


def _read_rescale(dataset: Dataset) -> tuple[float, float]:
    """Read slope and intercept (PS3.3 C.11.1)."""
    slope, intercept = read_number(dataset, "RescaleSlope"), read_number(dataset, "RescaleIntercept")
    slope = 1.0 if slope is None else slope
    if slope == 0.0:
        raise UnreadableRadiograph("the rescale slope of the DICOM file is zero")
    if intercept is None:
        # Slope and intercept belong together; some viewers ignore a slope without an intercept.
        if slope < 0.0:
            raise RefusedRadiograph(_UNCERTAIN, reason="uncertain_polarity")
        intercept = 0.0
    return slope, intercept


def _find_shutter_level(grey: float, greys: Values, ends: tuple[float, float]) -> float:
    """Find the grey of the shutter on the scale of ``greys``.

    Without a window, the ends are those of the stored bits. A radiograph may use a small part of them: black
    or white that is further away than the radiograph's own range is the end of that range.
    """
    low, high = (float(greys.min()), float(greys.max())) if greys.size else ends
    level = ends[0] + grey * (ends[1] - ends[0])
    return level if 2 * low - high <= level <= 2 * high - low else min(max(level, low), high)


def _scale(greys: Values, is_padded: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Stretch the greys to 16 bits; padding is black and does not count."""
    visible = greys[~is_padded]
    black, white = (visible.min(), visible.max()) if visible.size else (0.0, 0.0)
    scaled = np.rint((greys - black) * (_WHITE / (white - black or 1.0)))
    scaled[is_padded] = 0.0
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
