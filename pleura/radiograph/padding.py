"""Which stored values fill the area around a radiograph."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pleura.errors import UnreadableRadiograph
from pleura.radiograph.dicom_layout import PixelLayout

_WRAP: Final = 2**16


def is_padding(values: NDArray[np.integer[Any]], dataset: Dataset, layout: PixelLayout) -> NDArray[np.bool_]:
    """Mark the values that are padding: one value, or a range up to a limit.

    Source:
        DICOM PS3.3 C.7.5.1.1.2, C.7.6.3.1.7 (range limit).
    """
    padding = _read_stored_value(dataset, "PixelPaddingValue", layout)
    if padding is None:
        return np.zeros(values.shape, np.bool_)
    limit = _read_stored_value(dataset, "PixelPaddingRangeLimit", layout)
    low, high = sorted((padding, padding if limit is None else limit))
    return (values >= low) & (values <= high)


def _read_stored_value(dataset: Dataset, keyword: str, layout: PixelLayout) -> int | None:
    """Read a stored value; Pixel Representation says whether it is signed, whatever the file writes (US, SS).

    Raises:
        UnreadableRadiograph: The element is not one integer.
    """
    value = dataset.get(keyword)
    if value is None or value == "":
        return None
    if not isinstance(value, int):
        raise UnreadableRadiograph(f"{keyword} of the DICOM file is not one integer")
    unsigned = int(value) % _WRAP
    if not layout.is_signed:
        return unsigned
    signed = unsigned - _WRAP if unsigned >= _WRAP // 2 else unsigned
    low, high = layout.stored_range
    # the bits above the stored ones may lack the sign, as those of the pixels may
    return signed if low <= signed <= high else (signed - low) % (high - low + 1) + low
