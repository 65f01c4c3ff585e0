"""Images that are no radiographs, drawn at random: noise, gradients, shapes, writing."""

from collections.abc import Callable, Mapping
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pleura.contract import SIZE_PX
from pleura.radiograph.tensor import to_tensor

Tensors = NDArray[np.uint8]
Pixels = NDArray[np.float32]
Draw = Callable[[np.random.Generator], Pixels]
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz      "


def _draw_uniform_noise(random: np.random.Generator) -> Pixels:
    return random.random((SIZE_PX, SIZE_PX), np.float32)


def _draw_speckles(random: np.random.Generator) -> Pixels:
    share = random.uniform(0.02, 0.5)
    return (random.random((SIZE_PX, SIZE_PX), np.float32) < share).astype(np.float32)


def _draw_coarse_noise(random: np.random.Generator) -> Pixels:
    cells = int(random.integers(3, 80))
    return _enlarge(random.normal(size=(cells, cells)))


def _draw_natural_noise(random: np.random.Generator) -> Pixels:
    """Draw noise with the falling spectrum of natural pictures."""
    frequency = np.hypot(np.fft.fftfreq(SIZE_PX)[:, None], np.fft.rfftfreq(SIZE_PX)[None])
    frequency[0, 0] = 1.0
    phases = np.exp(2j * np.pi * random.random(frequency.shape))
    spectrum = phases * frequency ** -random.uniform(0.8, 2.0)
    return np.fft.irfft2(spectrum, (SIZE_PX, SIZE_PX)).astype(np.float32)


def _draw_gradient(random: np.random.Generator) -> Pixels:
    rows, columns = np.mgrid[0:SIZE_PX, 0:SIZE_PX] / SIZE_PX
    down, right, across = random.normal(size=3)
    return np.asarray(down * rows + right * columns + across * rows * columns, np.float32)


def _draw_spot(random: np.random.Generator) -> Pixels:
    rows, columns = np.mgrid[0:SIZE_PX, 0:SIZE_PX] / SIZE_PX
    row, column, width = random.uniform(0.2, 0.8, 3)
    return np.asarray(np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / width**2), np.float32)


def _draw_shapes(random: np.random.Generator) -> Pixels:
    pixels = np.full((SIZE_PX, SIZE_PX), random.integers(256), np.uint8)
    for _ in range(int(random.integers(2, 14))):
        centre, axes = random.integers(0, SIZE_PX, 2).tolist(), random.integers(25, 90, 2).tolist()
        grey = int(random.integers(256))
        if random.random() < 0.5:
            cv2.ellipse(pixels, centre, axes, float(random.uniform(0, 180)), 0, 360, grey, -1)
        else:
            cv2.rectangle(pixels, centre, [centre[0] + axes[0], centre[1] + axes[1]], grey, -1)
    return pixels.astype(np.float32)


def _draw_stripes(random: np.random.Generator) -> Pixels:
    rows, columns = np.mgrid[0:SIZE_PX, 0:SIZE_PX] / SIZE_PX
    angle, stripes = random.uniform(0, np.pi), random.uniform(2, 40)
    wave = np.sin(2 * np.pi * stripes * (np.cos(angle) * rows + np.sin(angle) * columns))
    return np.asarray(np.sign(wave) if random.random() < 0.5 else wave, np.float32)


def _draw_writing(random: np.random.Generator) -> Pixels:
    pixels = np.full((SIZE_PX, SIZE_PX), 255, np.uint8)
    height = int(random.integers(10, 28))
    for row in range(height, SIZE_PX, height + 4):
        line = "".join(random.choice(list(_LETTERS), 40))
        cv2.putText(pixels, line, (4, row), cv2.FONT_HERSHEY_SIMPLEX, height / 32, 0, 1)
    return pixels.astype(np.float32)


def _enlarge(pixels: NDArray[np.floating]) -> Pixels:
    enlarged = cv2.resize(pixels.astype(np.float32), (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_CUBIC)
    return enlarged.astype(np.float32, copy=False)


FITTED_KINDS: Final[Mapping[str, Draw]] = {
    "uniform noise": _draw_uniform_noise,
    "coarse noise": _draw_coarse_noise,
    "gradient": _draw_gradient,
    "shapes": _draw_shapes,
}
"""Kinds that an input check is fitted on."""
UNSEEN_KINDS: Final[Mapping[str, Draw]] = {
    "speckles": _draw_speckles,
    "noise with a natural spectrum": _draw_natural_noise,
    "spot": _draw_spot,
    "stripes": _draw_stripes,
    "writing": _draw_writing,
}
"""Kinds that no input check is fitted on: they show what it makes of something new."""


def draw_images(kinds: Mapping[str, Draw], count: int, seed: int) -> dict[str, Tensors]:
    """Draw so many images of each kind, uint8 (count, 224, 224); the same seed draws the same images."""
    random = np.random.default_rng(seed)
    return {kind: np.stack([to_tensor(draw(random)) for _ in range(count)]) for kind, draw in kinds.items()}
