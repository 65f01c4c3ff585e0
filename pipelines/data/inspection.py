"""One look at each radiograph of a data set: is it readable, what does it resemble, how does it look."""

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
from pipelines.object_store import ChangedObject, NoSuchObject
from pleura.errors import PleuraError

_READERS: Final = 4
_EDGE: Final = 256
_GREYS: Final = 64


@dataclass(frozen=True)
class Inspection:
    """How a radiograph looks, greys stretched to [0, 1]; ``entropy`` in bits, ``aspect`` width by height."""

    fingerprint: Fingerprint
    mean: float
    contrast: float
    entropy: float
    aspect: float


@dataclass(frozen=True)
class InspectionFailure:
    """Why there is no look: the file is not the one that was meant (``is_damaged``), or no radiograph."""

    is_damaged: bool


def inspect_all(records: Sequence[DatasetFile], read: ReadFile) -> list[Inspection | InspectionFailure]:
    """Look at each radiograph, in their order.

    Raises:
        StoreUnavailable: The store does not answer: that says nothing about the data.
    """
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(lambda stored: _look(stored, read), records))


def _look(stored: DatasetFile, read: ReadFile) -> Inspection | InspectionFailure:
    try:
        file = read(stored)
    except (ChangedObject, NoSuchObject):
        return InspectionFailure(is_damaged=True)
    try:
        return inspect(decode_radiograph(file))
    except PleuraError:
        return InspectionFailure(is_damaged=False)


def inspect(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> Inspection:
    """Look at decoded pixels, shape (rows, columns).

    Raises:
        RefusedRadiograph: All pixels have the same value.
    """
    mark = fingerprint(pixels)
    small = cv2.resize(pixels, (_EDGE, _EDGE), interpolation=cv2.INTER_AREA).astype(np.float32)
    greys = (small - small.min()) / max(float(np.ptp(small)), 1e-6)
    shares = np.histogram(greys, _GREYS, (0.0, 1.0))[0] / greys.size
    known = shares[shares > 0]
    return Inspection(
        mark,
        float(greys.mean()),
        float(greys.std()),
        float(-(known * np.log2(known)).sum()),
        pixels.shape[1] / pixels.shape[0],
    )
