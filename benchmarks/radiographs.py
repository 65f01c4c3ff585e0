"""Radiographs of 1024 pixels that nobody has asked about yet: a sample, with noise of its own in each."""

from pathlib import Path

import cv2
import numpy as np

from transformer.radiograph import read_radiograph

_SAMPLE = Path(__file__).parents[1] / "samples" / "nih_00000103_000.dcm"
_MOST_PIXELS = 100_000_000


def fresh_radiographs(count: int, seed: int, size_px: int = 1024) -> list[bytes]:
    """Make PNG files of ``size_px`` squared, each with another content and the same difficulty."""
    pixels = read_radiograph(_SAMPLE.read_bytes(), _MOST_PIXELS).pixels.astype(np.float32)
    grey = cv2.resize(pixels, (size_px, size_px), interpolation=cv2.INTER_AREA)
    grey = 255 * (grey - grey.min()) / (grey.max() - grey.min())
    rng = np.random.default_rng(seed)
    # so much noise that a file has the 400 KB of the NIH's own
    noisy = (grey + rng.normal(0, 0.7, grey.shape) for _ in range(count))
    return [cv2.imencode(".png", n.clip(0, 255).astype(np.uint8))[1].tobytes() for n in noisy]
