"""From stored values to greys as displayed: the whole grey-scale pipeline of DICOM as one table.

The pipeline is a function of the stored value alone, so it is worked out once for each value that can occur
(65,536 at most) and then looked up for each pixel: exact, and faster than applying it to millions of pixels.
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
        dataset: The elements of the image; nothing of it is changed.

    Returns:
        uint16, shape as given, 0 black, linear in the displayed grey.

    Raises:
        RefusedRadiograph: The file contradicts itself about which end is black.
        UnreadableRadiograph: A table or a number of the pipeline is no valid one.

    Source:
        DICOM PS3.3 C.7.6.3.1.2 (polarity), C.7.5.1.1.2 (padding), C.11.1 (modality), C.11.2 (VOI).
    """
    values = np.arange(int(stored.min()), int(stored.max()) + 1)
    greys = _voi(_modality(values.astype(np.float64), dataset), dataset)
    if not np.isfinite(greys).all():
        raise UnreadableRadiograph("the grey scale of the DICOM file is not finite")
    if is_inverted(dataset):
        greys = -greys
    padding = _is_padding(values, dataset)
    seen = greys[~padding]
    black, white = (seen.min(), seen.max()) if seen.size else (0.0, 0.0)
    scaled = np.rint((greys - black) * (_WHITE / (white - black or 1.0)))
    scaled[padding] = 0.0
    container = np.dtype(f"u{stored.dtype.itemsize}")
    table = np.zeros(2 ** (8 * container.itemsize), np.uint16)
    table[values.astype(stored.dtype).view(container)] = scaled.astype(np.uint16)
    shown = np.empty(stored.shape, np.uint16)
    # A look-up widens its indices to eight bytes: a few rows at a time, not a whole radiograph.
    for start in range(0, len(stored), _ROWS_AT_A_TIME):
        rows = slice(start, start + _ROWS_AT_A_TIME)
        np.take(table, stored[rows].view(container), out=shown[rows], mode="clip")
    return shown


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


def _modality(values: Values, dataset: Dataset) -> Values:
    if dataset.get("ModalityLUTSequence"):
        return _looked_up(values, dataset.ModalityLUTSequence[0], dataset)
    slope, intercept = _number(dataset, "RescaleSlope", 1.0), _number(dataset, "RescaleIntercept", None)
    if slope == 0.0:
        raise UnreadableRadiograph("the rescale slope of the DICOM file is zero")
    if intercept is None:
        # The two belong together; some viewers ignore a slope that stands alone.
        if slope < 0.0:
            raise RefusedRadiograph(_UNCERTAIN)
        intercept = 0.0
    return np.asarray(values * slope + intercept, np.float64)


def _voi(values: Values, dataset: Dataset) -> Values:
    if dataset.get("VOILUTSequence"):
        return _looked_up(values, dataset.VOILUTSequence[0], dataset)
    centre, width = (_number(dataset, name, None) for name in ("WindowCenter", "WindowWidth"))
    function = str(dataset.get("VOILUTFunction") or "LINEAR")
    if function not in _WINDOWS:
        raise UnreadableRadiograph("the VOI LUT function of the DICOM file is unknown")
    # A width that the standard forbids is written by some devices to say "no window".
    if centre is None or width is None or width < (1.0 if function == "LINEAR" else 1e-6):
        return values
    return _WINDOWS[function](values, centre, width)


def _linear(values: Values, centre: float, width: float) -> Values:
    if width == 1.0:
        return (values > centre - 0.5).astype(np.float64)
    return np.clip((values - (centre - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)


def _linear_exact(values: Values, centre: float, width: float) -> Values:
    return np.clip((values - centre) / width + 0.5, 0.0, 1.0)


def _sigmoid(values: Values, centre: float, width: float) -> Values:
    return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -60.0, 60.0)))


_WINDOWS: Final[dict[str, Callable[[Values, float, float], Values]]] = {
    "LINEAR": _linear,
    "LINEAR_EXACT": _linear_exact,
    "SIGMOID": _sigmoid,
}


def _number(dataset: Dataset, keyword: str, otherwise: float | None) -> Any:
    """The first value of a decimal string element; ``otherwise`` where it is absent or empty.

    Raises:
        UnreadableRadiograph: It is no number, or beyond all measure.
    """
    value = dataset.get(keyword)
    if value is None or value == "":
        return otherwise
    if not isinstance(value, str | int | float):
        value = value[0]
    number = float(value)
    if not abs(number) <= _LARGEST_NUMBER:
        raise UnreadableRadiograph(f"{keyword} of the DICOM file is no sensible number")
    return number


def _looked_up(values: Values, item: Dataset, dataset: Dataset) -> Values:
    """Apply the LUT of a sequence item; values beyond its ends take the end's entry."""
    count, first, bits = (int(number) for number in item.LUTDescriptor)
    count = count or 2**16
    if dataset.get("PixelRepresentation") == 1 and first > 2**15 - 1 and "RescaleSlope" not in dataset:
        first -= 2**16
    entries = _entries(item.LUTData, count, dataset.original_encoding[1] is False)
    if len(entries) < count or not 1 <= bits <= 16:
        raise UnreadableRadiograph("a lookup table of the DICOM file is shorter than it announces")
    places = np.clip(np.rint(values) - first, 0, count - 1).astype(np.int64)
    return np.asarray(entries[places], np.float64)


def _entries(data: Any, count: int, is_big_endian: bool) -> NDArray[np.integer[Any]]:
    if not isinstance(data, bytes):
        return np.atleast_1d(np.asarray(data, np.int64)) & 0xFFFF
    if len(data) < 2 * count:
        return np.frombuffer(data, np.uint8)
    return np.frombuffer(data[: 2 * count], ">u2" if is_big_endian else "<u2")


def _is_padding(values: NDArray[np.integer[Any]], dataset: Dataset) -> NDArray[np.bool_]:
    padding = dataset.get("PixelPaddingValue")
    if not isinstance(padding, int):
        return np.zeros(values.shape, np.bool_)
    limit = dataset.get("PixelPaddingRangeLimit")
    ends = sorted((padding, limit if isinstance(limit, int) else padding))
    return (values >= ends[0]) & (values <= ends[1])
