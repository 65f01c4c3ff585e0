"""The display shutter: the part of a radiograph that the header hides, and the grey that hides it."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pleura.errors import RefusedRadiograph, UnreadableRadiograph
from pleura.radiograph.decimal_strings import read_numbers

Mask = NDArray[np.bool_]
_WHITE: Final = 65_535
_MAX_VERTICES: Final = 1_000
_INCOMPLETE: Final = "the display shutter of the DICOM file is incomplete"


@dataclass(frozen=True)
class Shutter:
    """Which pixels a display shutter hides, and its grey: 0.0 is black, 1.0 is white."""

    hidden: Mask
    grey: float


def read_shutter(dataset: Dataset, rows: int, columns: int) -> Shutter | None:
    """Read the display shutter; None if the header has none.

    A pixel on the edge of a shutter is hidden. Where there are several shapes, each hides what is outside.

    Raises:
        RefusedRadiograph: The shape is a bitmap, which is an overlay, or is unknown.
        UnreadableRadiograph: An edge, a centre, a radius or a vertex is missing.

    Source:
        DICOM PS3.3 C.7.6.11 (display shutter), C.7.6.15 (bitmap display shutter).
    """
    value = dataset.get("ShutterShape")
    texts = value.split("\\") if isinstance(value, str) else list(value or ())
    shapes = {str(text).strip(" \0").upper() for text in texts} - {""}
    if not shapes.issubset(_SHAPES) or dataset.get("ShutterOverlayGroup"):
        raise RefusedRadiograph(
            "the DICOM file has a display shutter that is not a rectangle, circle or polygon",
            reason="display_not_supported",
        )
    if not shapes:
        return None
    visible = np.ones((rows, columns), np.bool_)
    for shape in sorted(shapes):
        visible &= _SHAPES[shape](dataset, rows, columns)
    level = _read_integers(dataset, "ShutterPresentationValue", range(2))
    return Shutter(~visible, min(max(level[0], 0), _WHITE) / _WHITE if level else 0.0)


def _read_integers(dataset: Dataset, keyword: str, lengths: range) -> list[float]:
    numbers = [number for number in read_numbers(dataset, keyword) if number is not None]
    if len(numbers) not in lengths:
        raise UnreadableRadiograph(_INCOMPLETE)
    return numbers


def _show_rectangle(dataset: Dataset, rows: int, columns: int) -> Mask:
    left, right, upper, lower = (
        _read_integers(dataset, f"Shutter{edge}Edge", range(1, 2))[0]
        for edge in ("LeftVertical", "RightVertical", "UpperHorizontal", "LowerHorizontal")
    )
    row, column = _number_pixels(rows, columns)
    return (row > upper) & (row < lower) & (column > left) & (column < right)


def _show_circle(dataset: Dataset, rows: int, columns: int) -> Mask:
    """Show a circle; the radius counts pixels along a row, so pixels that are not square make an ellipse."""
    centre_row, centre_column = _read_integers(dataset, "CenterOfCircularShutter", range(2, 3))
    (radius,) = _read_integers(dataset, "RadiusOfCircularShutter", range(1, 2))
    row, column = _number_pixels(rows, columns)
    height = _read_pixel_height(dataset)
    return ((row - centre_row) * height) ** 2 + (column - centre_column) ** 2 < radius**2


def _read_pixel_height(dataset: Dataset) -> float:
    """Read the height of a pixel as a multiple of its width."""
    for keyword in ("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing"):
        numbers = [number for number in read_numbers(dataset, keyword) if number]
        if len(numbers) == 2:
            return abs(numbers[0] / numbers[1])
    return 1.0


def _show_polygon(dataset: Dataset, rows: int, columns: int) -> Mask:
    """Show what is inside a polygon by the even-odd rule, one row of pixels at a time."""
    numbers = _read_integers(dataset, "VerticesOfThePolygonalShutter", range(6, 2 * _MAX_VERTICES + 1, 2))
    start = np.array(numbers, np.float64).reshape(-1, 2)
    end = np.roll(start, -1, axis=0)
    level_edges = [edge for edge in zip(start, end, strict=True) if edge[0][0] == edge[1][0]]
    visible = np.zeros((rows, columns), np.bool_)
    column = np.arange(1, columns + 1)
    for row in range(1, rows + 1):
        crossed = (start[:, 0] <= row) != (end[:, 0] <= row)
        if not crossed.any():
            continue
        (y0, x0), (y1, x1) = start[crossed].T, end[crossed].T
        crossings = np.sort(x0 + (row - y0) * (x1 - x0) / (y1 - y0))
        for left, right in crossings.reshape(-1, 2):
            visible[row - 1] |= (column > left) & (column < right)
        for (y, first), (_, last) in level_edges:
            if y == row:
                visible[row - 1] &= (column < min(first, last)) | (column > max(first, last))
    return visible


def _number_pixels(rows: int, columns: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Number rows and columns from 1, as the standard does."""
    return np.arange(1.0, rows + 1)[:, np.newaxis], np.arange(1.0, columns + 1)


_SHAPES: Final = {"RECTANGULAR": _show_rectangle, "CIRCULAR": _show_circle, "POLYGONAL": _show_polygon}
