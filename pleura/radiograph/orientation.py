"""Turn a radiograph upright, as the patient orientation of its header requires."""

import re
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pleura.errors import RefusedRadiograph

_DIRECTION: Final = re.compile(r"[LRAPHF]{1,3}")
_AXIS: Final = {"L": 0, "R": 0, "A": 1, "P": 1, "H": 2, "F": 2}
"""The axes of the body. Of the two in a picture, the later one is vertical."""
_UPPER: Final = "HA"
_UNCERTAIN: Final = "the patient orientation of the DICOM file does not say how the radiograph stands upright"


def read_orientation(dataset: Dataset) -> tuple[str, str] | None:
    """Read the directions of rows and columns, one letter each; None if the header does not give them.

    Raises:
        RefusedRadiograph: The directions are not two of a standing patient.

    Source:
        DICOM PS3.3 C.7.6.1.1.1 (the first letter is the main direction).
    """
    value = dataset.get("PatientOrientation")
    texts = value.split("\\") if isinstance(value, str) else list(value or ())
    words = [str(text).strip(" \0").upper() for text in texts]
    if not any(words):
        return None
    if len(words) != 2 or not all(_DIRECTION.fullmatch(word) for word in words):
        raise RefusedRadiograph(_UNCERTAIN, reason="orientation")
    row, column = words[0][0], words[1][0]
    if _AXIS[row] == _AXIS[column]:
        raise RefusedRadiograph(_UNCERTAIN, reason="orientation")
    return row, column


def turn_upright(pixels: NDArray[Any], orientation: tuple[str, str] | None) -> NDArray[Any]:
    """Turn and mirror a radiograph so that the head is up and the patient's left is on the right.

    A lateral radiograph has neither left nor right; it is turned, but not mirrored. In a section across the
    body, which shows neither head nor feet, the front is up.
    """
    if orientation is None:
        return pixels
    row, column = orientation
    if _AXIS[row] > _AXIS[column]:
        pixels, row, column = pixels.T, column, row
    if column in _UPPER:
        pixels = pixels[::-1]
    if row == "R":
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
