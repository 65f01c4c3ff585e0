"""Inspect each radiograph of a data set: whether it can be read, its fingerprint, and its greys."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.data.decode import decode_radiograph
from pipelines.data.manifest import DatasetFile
from pipelines.data.near_duplicates import Fingerprint, fingerprint
from pipelines.data.radiograph_cache import ReadFile
from pleura.errors import PleuraError
from pleura.object_bucket import ChangedObject, NoSuchObject

_READERS: Final = 4
_EDGE: Final = 256
_GREYS: Final = 64


@dataclass(frozen=True)
class Inspection:
    """The looks of a radiograph with greys in [0, 1]; ``entropy`` in bits, ``aspect`` is width by height."""

    fingerprint: Fingerprint
    mean: float
    contrast: float
    entropy: float
    aspect: float


@dataclass(frozen=True)
class InspectionFailure:
    """No inspection was possible: the file is missing or changed (``is_damaged``), or unreadable."""

    is_damaged: bool


def inspect_all(records: Sequence[DatasetFile], read_file: ReadFile) -> list[Inspection | InspectionFailure]:
    """Inspect the radiographs, in their order.

    Raises:
        StoreUnavailable: The store does not answer, which says nothing about the data.
    """
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(lambda stored: _inspect_file(stored, read_file), records))


def _inspect_file(stored: DatasetFile, read_file: ReadFile) -> Inspection | InspectionFailure:
    try:
        file = read_file(stored)
    except (ChangedObject, NoSuchObject):
        return InspectionFailure(is_damaged=True)
    try:
        return inspect(decode_radiograph(file))
    except PleuraError:
        return InspectionFailure(is_damaged=False)


def inspect(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> Inspection:
    """Inspect decoded pixels, shape (rows, columns).

    Raises:
        RefusedRadiograph: All pixels have the same value.
    """
    small = cv2.resize(pixels, (_EDGE, _EDGE), interpolation=cv2.INTER_AREA).astype(np.float32)
    # A blank radiograph must reach the refusal by fingerprint, and not end in a division by zero.
    greys = (small - small.min()) / max(float(np.ptp(small)), 1e-6)
    shares = np.histogram(greys, _GREYS, (0.0, 1.0))[0] / greys.size
    positive = shares[shares > 0]
    return Inspection(
        fingerprint(pixels),
        float(greys.mean()),
        float(greys.std()),
        float(-(positive * np.log2(positive)).sum()),
        pixels.shape[1] / pixels.shape[0],
    )
