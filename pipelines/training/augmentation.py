"""Random changes that a radiograph may undergo without changing what it shows."""

import cv2
import numpy as np
from numpy.typing import NDArray


def augment(
    tensor: NDArray[np.uint8], size_px: int, rng: np.random.Generator, strength: float
) -> NDArray[np.uint8]:
    """Turn, shift, scale and re-window one radiograph, and bring it to another size.

    There is no horizontal flip: it puts the heart on the right, which is a finding (situs inversus), and
    moves the aortic knuckle and the gastric bubble that radiologists orient themselves by.

    Args:
        tensor: uint8 (224, 224).
        size_px: Edge of the result.
        rng: Source of randomness.
        strength: 0.0 changes nothing but the size; 1.0 turns by 10 degrees, scales by 12 %, shifts by
            6 % (standard deviations are half of these), gamma 0.7 to 1.4.

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
