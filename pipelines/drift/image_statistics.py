"""Statistics of a radiograph's pixels, independent of any model."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from pleura.radiograph.pixels import Radiograph
from pleura.radiograph.tensor import to_tensor

_LEVELS: Final = 256


@dataclass(frozen=True)
class ImageStatistics:
    """Statistics of one radiograph.

    ``mean`` and ``contrast`` (standard deviation) are of the grey values, as shares of the full scale of
    their type. ``entropy`` is that of the network's input, in bits. ``aspect`` is width divided by height.
    """

    mean: float
    contrast: float
    entropy: float
    aspect: float


def image_statistics(radiograph: Radiograph) -> ImageStatistics:
    """Measure a radiograph.

    Raises:
        RefusedRadiograph: The radiograph is blank.
    """
    pixels = radiograph.pixels
    # Not of the tensor: its stretched contrast would hide that radiographs have become darker or flatter.
    greys = pixels / np.float32(np.iinfo(pixels.dtype).max)
    tensor = to_tensor(pixels)
    shares = np.bincount(tensor.reshape(-1), minlength=_LEVELS) / tensor.size
    seen = shares[shares > 0]
    rows, columns = pixels.shape
    return ImageStatistics(
        mean=float(greys.mean()),
        contrast=float(greys.std()),
        entropy=float(-(seen * np.log2(seen)).sum()),
        aspect=columns / rows,
    )
