"""Do activation maps point where radiologists saw the finding, and more often than by chance?

A map is evaluated as it is displayed: 7 x 7 places, enlarged by cubic interpolation, above its median.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.evaluation import EvaluationProtocol
from pipelines.statistics.bootstrap import (
    Bootstrap,
    IntervalEstimate,
    estimate_interval,
    estimate_share_interval,
    means,
    observed_statistic,
)
from pipelines.value import Value
from pleura.contract import SIZE_PX
from pleura.findings import FINDINGS

Floats = NDArray[np.floating]
Corners = tuple[int, int, int, int]
"""Left, top, right and bottom of a box in pixels of the enlarged map; right and bottom are exclusive."""
_HALF: Final = 0.5
_RANDOM_PLACES: Final = 200
_FEWEST: Final = 10
OVERALL: Final = "all"


@dataclass(frozen=True)
class LocalisationBox:
    """A radiologist's box around a finding, in fractions of the radiograph's width and height.

    ``row`` is the position of the radiograph among the evaluated ones.
    """

    row: int
    finding: str
    x: float
    y: float
    width: float
    height: float

    @property
    def corners(self) -> Corners:
        """The box on the enlarged map, at least one pixel large."""
        left, top = round(self.x * SIZE_PX), round(self.y * SIZE_PX)
        right, bottom = round((self.x + self.width) * SIZE_PX), round((self.y + self.height) * SIZE_PX)
        left, top = min(max(left, 0), SIZE_PX - 1), min(max(top, 0), SIZE_PX - 1)
        return left, top, min(max(right, left + 1), SIZE_PX), min(max(bottom, top + 1), SIZE_PX)


class FindingLocalisation(Value):
    """How well one finding is localised; the figures are None if there are too few boxes.

    ``pointing`` is the share of boxes that contain the map's highest point. It is compared with a random
    point (``pointing_random``, the area of the box), with the centre of the radiograph, and with the map of
    another patient (``pointing_other``, which shows what anatomy alone gives). ``iou`` is the mean
    intersection over union of the box and the activated region: the region around the highest point that
    exceeds half of the map's maximum. It is compared with the same region at a random place, and with the
    middle quarter of the radiograph.
    """

    finding: str
    boxes: int
    patients: int
    pointing: IntervalEstimate | None
    pointing_random: IntervalEstimate | None
    pointing_centre: IntervalEstimate | None
    pointing_other: IntervalEstimate | None
    iou: IntervalEstimate | None
    iou_random: IntervalEstimate | None
    iou_centre: IntervalEstimate | None


_COLUMNS: Final = tuple(FindingLocalisation.model_fields)[3:]


def enlarge_map(activation: Floats) -> Floats:
    """Enlarge an activation map (7, 7) as it is displayed: float32 (224, 224), above its median."""
    wide = cv2.resize(activation.astype(np.float32), (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_CUBIC)
    return np.asarray(wide - np.median(activation), np.float32)


def highest_point(wide: Floats) -> tuple[int, int]:
    """Find the column and the row of the highest point."""
    row, column = np.unravel_index(int(np.argmax(wide)), wide.shape)
    return int(column), int(row)


def activated_region(wide: Floats) -> Corners:
    """Find the box around the connected region of the highest point that exceeds half of the maximum."""
    above = (wide >= _HALF * wide.max()).astype(np.uint8)
    _, parts = cv2.connectedComponents(above)
    column, row = highest_point(wide)
    rows, columns = np.nonzero(parts == parts[row, column])
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def box_contains(box: Corners, place: tuple[int, int]) -> bool:
    """Tell whether a point lies in a box."""
    return box[0] <= place[0] < box[2] and box[1] <= place[1] < box[3]


def iou(one: Corners, other: Corners) -> float:
    """Compute the intersection over union of two boxes."""
    width = max(0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0, min(one[3], other[3]) - max(one[1], other[1]))
    both = width * height
    return both / (_area(one) + _area(other) - both)


def _area(box: Corners) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _random_places(box: Corners, rng: np.random.Generator) -> list[Corners]:
    """Move the box to random places on the radiograph."""
    width, height = box[2] - box[0], box[3] - box[1]
    lefts = rng.integers(0, SIZE_PX - width + 1, _RANDOM_PLACES)
    tops = rng.integers(0, SIZE_PX - height + 1, _RANDOM_PLACES)
    return [(int(x), int(y), int(x) + width, int(y) + height) for x, y in zip(lefts, tops, strict=True)]


def _measure_box(
    box: LocalisationBox, maps: Floats, others: NDArray[np.intp], rng: np.random.Generator
) -> tuple[float, ...]:
    """Measure one box, in the order of ``_COLUMNS``; ``others`` are the rows of other patients."""
    truth, finding = box.corners, FINDINGS.index(box.finding)
    wide = enlarge_map(maps[box.row, finding])
    found = activated_region(wide)
    quarter = SIZE_PX // 4
    middle = (quarter, quarter, SIZE_PX - quarter, SIZE_PX - quarter)
    by_others = [box_contains(truth, highest_point(enlarge_map(maps[row, finding]))) for row in others]
    return (
        float(box_contains(truth, highest_point(wide))),
        _area(truth) / SIZE_PX**2,
        float(box_contains(truth, (SIZE_PX // 2, SIZE_PX // 2))),
        float(np.mean(by_others)) if by_others else np.nan,
        iou(found, truth),
        float(np.mean([iou(place, truth) for place in _random_places(found, rng)])),
        iou(middle, truth),
    )


def _summarise(
    name: str, values: Floats, patients: NDArray[np.str_], bootstrap: Bootstrap
) -> FindingLocalisation:
    def statistics(weights: Floats) -> Floats:
        return np.column_stack([means(weights, column) for column in values.T])

    figures: dict[str, IntervalEstimate | None] = dict.fromkeys(_COLUMNS)
    if len(values) >= _FEWEST:
        point, drawn = (
            observed_statistic(statistics, len(values)),
            bootstrap.draw(statistics, patients),
        )
        figures = {column: estimate_interval(point[i], drawn[:, i]) for i, column in enumerate(_COLUMNS)}
        # Only these two are shares: a box is hit or not. The others are means.
        for i in (_COLUMNS.index("pointing"), _COLUMNS.index("pointing_centre")):
            figures[_COLUMNS[i]] = estimate_share_interval(point[i], drawn[:, i], len(values))
    counts = {"finding": name, "boxes": len(values), "patients": len(np.unique(patients))}
    return FindingLocalisation.model_validate(counts | figures)


def evaluate_localisation(
    maps: Floats,
    patients: NDArray[np.str_],
    boxes: Sequence[LocalisationBox],
    protocol: EvaluationProtocol | None = None,
) -> tuple[FindingLocalisation, ...]:
    """Compare activation maps with boxes: all findings together first, then each finding that has a box.

    Args:
        maps: float (N, 14, 7, 7), in the order that the rows of the boxes refer to.
        patients: str (N,).
        boxes: The boxes that radiologists drew.
        protocol: Draws and seed; the default rules if None.

    Returns:
        Empty if there is no box.
    """
    if not boxes:
        return ()
    protocol = protocol or EvaluationProtocol()
    rng = np.random.default_rng(protocol.seed)
    # The random places depend on the order of the boxes.
    boxes = sorted(boxes, key=lambda box: (patients[box.row], box.finding, box.corners))
    rows = np.unique([box.row for box in boxes])
    values = np.array(
        [_measure_box(box, maps, rows[patients[rows] != patients[box.row]], rng) for box in boxes], float
    )
    owners, names = patients[[box.row for box in boxes]], np.array([box.finding for box in boxes])
    results = [_summarise(OVERALL, values, owners, protocol.bootstrap)]
    for name in (finding for finding in FINDINGS if finding in names):
        results.append(_summarise(name, values[names == name], owners[names == name], protocol.bootstrap))
    return tuple(results)
