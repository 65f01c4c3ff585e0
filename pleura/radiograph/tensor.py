"""From displayed pixels to the input of the network; training and serving share this step."""

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pleura.contract import SIZE_PX
from pleura.errors import RefusedRadiograph

_BLACK_PERCENTILE: Final = 0.5
_WHITE_PERCENTILE: Final = 99.5


def to_tensor(pixels: NDArray[np.integer[Any] | np.floating[Any]]) -> NDArray[np.uint8]:
    """Resize a radiograph and stretch its grey scale, as the network needs it.

    The radiograph is resized to a square, as the NIH resized theirs. Its grey scale is stretched so
    that 0.5 % of the pixels are black and 0.5 % are white. The tensor therefore does not depend on the
    bit depth, nor on width and centre of a linear window that clips nothing.

    Args:
        pixels: One channel, shape (rows, columns), bone brighter than air; uint8, uint16, int16 or float32.

    Returns:
        uint8, shape (224, 224).

    Raises:
        RefusedRadiograph: All pixels have the same value.
    """
    enlarges = min(pixels.shape) < SIZE_PX
    interpolation = cv2.INTER_LINEAR if enlarges else cv2.INTER_AREA
    resized = cv2.resize(pixels, (SIZE_PX, SIZE_PX), interpolation=interpolation).astype(np.float32)
    black, white = np.percentile(resized, (_BLACK_PERCENTILE, _WHITE_PERCENTILE))
    if white <= black:
        raise RefusedRadiograph("the radiograph is blank: it has no contrast", reason="blank")
    stretched = (resized - black) * np.float32(255.0 / (white - black))
    tensor: NDArray[np.uint8] = np.rint(stretched.clip(0.0, 255.0)).astype(np.uint8)
    return tensor
