"""Random changes of a radiograph that do not change its findings."""

import cv2
import numpy as np
from numpy.typing import NDArray


def augment(
    tensor: NDArray[np.uint8], size_px: int, rng: np.random.Generator, strength: float
) -> NDArray[np.uint8]:
    """Rotate, shift, scale and re-window a radiograph, and resize it.

    There is no horizontal flip. A flip puts the heart on the right side, which is a finding (situs inversus),
    and it moves the aortic knuckle and the gastric bubble, by which radiologists orient themselves.

    Args:
        tensor: uint8 (224, 224).
        size_px: Side length of the result.
        rng: Source of randomness.
        strength: 0.0 changes the size only. 1.0 rotates by up to 10 degrees, scales by 12 % and shifts by
            6 % (two standard deviations), with gamma from 0.7 to 1.4.

    Returns:
        uint8 (size_px, size_px).
    """
    edge = tensor.shape[0]
    angle, scale = rng.normal(0.0, 5.0 * strength), np.exp(rng.normal(0.0, 0.06 * strength))
    matrix = np.asarray(cv2.getRotationMatrix2D((edge / 2, edge / 2), angle, scale), np.float64)
    matrix[:, 2] += rng.normal(0.0, 0.03 * strength * edge, size=2)
    matrix[0, :2] *= np.exp(rng.normal(0.0, 0.04 * strength))
    moved = cv2.warpAffine(tensor, matrix, (edge, edge), flags=cv2.INTER_LINEAR)
    resized = cv2.resize(moved, (size_px, size_px), interpolation=cv2.INTER_AREA)
    grey = np.arange(256, dtype=np.float32) / 255
    gamma = np.exp(rng.normal(0.0, 0.18 * strength))
    contrast, brightness = np.exp(rng.normal(0.0, 0.1 * strength)), rng.normal(0.0, 0.05 * strength)
    curve = (grey**gamma - 0.5) * contrast + 0.5 + brightness
    return cv2.LUT(resized, np.rint(curve.clip(0, 1) * 255).astype(np.uint8)).astype(np.uint8)
