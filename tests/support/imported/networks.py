"""DenseNet121 with random weights, by PyTorch's names, from nothing but NumPy and a seed.

PyTorch's reference and our test make the same network from it: the weights are not in the repository.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray[Any, Any]]
BLOCKS = (6, 12, 24, 16)


@dataclass(frozen=True)
class Shape:
    """What tells the kinds apart: channels of the stem, outputs, and how large the stem's input is."""

    channels: int
    outputs: int
    spread: float
    classifier: str


TORCHXRAYVISION = Shape(1, 18, 600.0, "classifier")
CHEXNET = Shape(3, 14, 1.0, "classifier.0")


def _uniform(random: np.random.Generator, low: float, high: float, *shape: int) -> Any:
    return (low + (high - low) * random.random(shape)).astype(np.float32)


def _norm(
    random: np.random.Generator, name: str, channels: int, spread: float = 1.0
) -> Iterator[tuple[str, Any]]:
    weight = _uniform(random, 0.7, 1.3, channels)
    bias, mean = _uniform(random, -0.5, 0.5, channels), _uniform(random, -0.5, 0.5, channels)
    variance = _uniform(random, 0.5, 1.5, channels)
    # Trained networks have channels that hardly vary: there the epsilon decides.
    weight[::5], mean[::5], variance[::5] = weight[::5] * 0.003, mean[::5] * 0.003, 1e-6
    yield f"{name}.weight", weight
    yield f"{name}.bias", bias
    yield f"{name}.running_mean", mean * np.float32(spread)
    yield f"{name}.running_var", variance * np.float32(spread**2)
    yield f"{name}.num_batches_tracked", np.array(7, np.int64)


def _convolution(random: np.random.Generator, name: str, *shape: int) -> Iterator[tuple[str, Any]]:
    bound = (6 / np.prod(shape[1:])) ** 0.5
    yield f"{name}.weight", _uniform(random, -bound, bound, *shape)


def _arrays(random: np.random.Generator, shape: Shape) -> Iterator[tuple[str, Any]]:
    yield from _convolution(random, "features.conv0", 64, shape.channels, 7, 7)
    yield from _norm(random, "features.norm0", 64, shape.spread)
    channels = 64
    for block, layers in enumerate(BLOCKS, start=1):
        for layer in range(1, layers + 1):
            name = f"features.denseblock{block}.denselayer{layer}"
            yield from _norm(random, f"{name}.norm1", channels)
            yield from _convolution(random, f"{name}.conv1", 128, channels, 1, 1)
            yield from _norm(random, f"{name}.norm2", 128)
            yield from _convolution(random, f"{name}.conv2", 32, 128, 3, 3)
            channels += 32
        if block < len(BLOCKS):
            yield from _norm(random, f"features.transition{block}.norm", channels)
            yield from _convolution(random, f"features.transition{block}.conv", channels // 2, channels, 1, 1)
            channels //= 2
    yield from _norm(random, "features.norm5", channels)
    yield f"{shape.classifier}.weight", _uniform(random, -0.05, 0.05, shape.outputs, channels)
    yield f"{shape.classifier}.bias", _uniform(random, -1.0, 1.0, shape.outputs)


def random_state(shape: Shape, seed: int) -> Arrays:
    """All arrays of a network, as a state dict names and orders them."""
    return dict(_arrays(np.random.default_rng(seed), shape))


def radiographs(count: int = 3) -> Any:
    """Smooth shapes that reach the border, uint8 (count, 224, 224): what happens in the padding shows."""
    rows, columns = np.mgrid[0:224, 0:224] / 224.0
    drawn = [
        127.5 + 70 * np.sin(9 * rows + 2 * k) + 57 * np.cos(7 * columns * (k + 1) + rows)
        for k in range(count)
    ]
    return np.rint(np.stack(drawn)).clip(0, 255).astype(np.uint8)
