"""Convert the arrays of torchvision's DenseNet121 to those of ``predictor.build.network``.

The conversion is exact. PyTorch pools after the convolution of a transition and we pool before it; both are
linear. Its batch norms have another epsilon, which goes into gamma. Its arrays have another order of axes.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pleura.findings import FINDINGS
from predictor.build.network import DENSE_BLOCKS, EPSILON, FEATURES

_TORCH_EPSILON: Final = 1e-5
_FIRST: Final = "features.conv0.weight"
# names of torchvision before 0.2.1; since 0.4 PyTorch allows no dot in the name of a module
_OLD_NAME: Final = re.compile(r"(denselayer\d+)\.(norm|conv)\.([12])\.")
_UNUSED: Final = re.compile(r".*\.num_batches_tracked|op_threshs")
_SYNONYMS: Final = {"pleural_effusion": "effusion", "infiltrate": "infiltration"}
State = Mapping[str, NDArray[np.generic]]
Floats = NDArray[np.float32]


class UnsupportedNetwork(Exception):
    """The checkpoint is not a DenseNet121 for radiographs, or lacks a finding."""


@dataclass(frozen=True)
class ConvertedNetwork:
    """The network by ``layer/variable``, and its last layer for our findings in our order."""

    network: Mapping[str, Floats]
    kernel: Floats
    bias: Floats


def _convolution_names() -> Iterator[tuple[str, str]]:
    yield "features.conv0", "stem_conv"
    for block, layers in enumerate(DENSE_BLOCKS, start=1):
        for layer in range(1, layers + 1):
            theirs, ours = f"features.denseblock{block}.denselayer{layer}", f"block{block}_layer{layer}"
            yield f"{theirs}.conv1", f"{ours}_1_conv"
            yield f"{theirs}.conv2", f"{ours}_2_conv"
    for block in range(1, len(DENSE_BLOCKS)):
        yield f"features.transition{block}.conv", f"transition{block}_conv"


def _norm_names() -> Iterator[tuple[str, str]]:
    yield "features.norm0", "stem_bn"
    for block, layers in enumerate(DENSE_BLOCKS, start=1):
        for layer in range(1, layers + 1):
            theirs, ours = f"features.denseblock{block}.denselayer{layer}", f"block{block}_layer{layer}"
            yield f"{theirs}.norm1", f"{ours}_0_bn"
            yield f"{theirs}.norm2", f"{ours}_1_bn"
    for block in range(1, len(DENSE_BLOCKS)):
        yield f"features.transition{block}.norm", f"transition{block}_bn"
    yield "features.norm5", "features_bn"


def _strip_prefixes(state: State) -> dict[str, NDArray[np.generic]]:
    """Strip the prefix that wrappers add to the names, such as ``module.`` or ``densenet121.``."""
    prefixes = [name.removesuffix(_FIRST) for name in state if name.endswith(_FIRST)]
    if len(prefixes) != 1:
        raise UnsupportedNetwork(
            f"the checkpoint has {len(prefixes)} arrays called {_FIRST!r}: it is not a DenseNet"
        )
    other = sorted(name for name in state if not name.startswith(prefixes[0]))
    if other:
        raise UnsupportedNetwork(f"{other[0]!r} is not a part of the DenseNet at {prefixes[0]!r}")
    stripped = {_OLD_NAME.sub(r"\1.\2\3.", name.removeprefix(prefixes[0])): a for name, a in state.items()}
    if len(stripped) != len(state):
        raise UnsupportedNetwork("two arrays of the checkpoint have the same name")
    return {name: array for name, array in stripped.items() if not _UNUSED.fullmatch(name)}


def _take(state: dict[str, NDArray[np.generic]], name: str, dimensions: int) -> NDArray[np.float64]:
    if name not in state:
        raise UnsupportedNetwork(f"the checkpoint lacks {name!r}: it is not a DenseNet121")
    array = state.pop(name)
    if array.ndim != dimensions or array.dtype.kind != "f":
        raise UnsupportedNetwork(f"{name!r} has the shape {list(array.shape)} and the type {array.dtype}")
    if not np.isfinite(array).all():
        raise UnsupportedNetwork(f"{name!r} holds values that are not finite")
    # All steps are computed in double precision, so that each array is rounded once, at its end.
    return array.astype(np.float64)


def _convert_norm(state: dict[str, NDArray[np.generic]], theirs: str, ours: str) -> dict[str, Floats]:
    names = ("weight", "bias", "running_mean", "running_var")
    gamma, beta, mean, variance = (_take(state, f"{theirs}.{name}", 1) for name in names)
    if (variance < 0).any():
        raise UnsupportedNetwork(f"a variance of {theirs!r} is negative")
    gamma = gamma * np.sqrt((variance + EPSILON) / (variance + _TORCH_EPSILON))
    values = {"gamma": gamma, "beta": beta, "moving_mean": mean, "moving_variance": variance}
    return {f"{ours}/{name}": value.astype(np.float32) for name, value in values.items()}


def _normalise_name(name: str) -> str:
    normalised = re.sub(r"[ -]+", "_", name.strip()).casefold()
    return _SYNONYMS.get(normalised, normalised)


def match_outputs(outputs: Sequence[str]) -> list[int]:
    """Find the output of a checkpoint for each of our findings, by name.

    Args:
        outputs: The names of the checkpoint's outputs in its order; an empty name for an untrained output.

    Raises:
        UnsupportedNetwork: A finding is missing, or has two outputs.
    """
    normalised = [_normalise_name(name) for name in outputs]
    missing = [name for name in FINDINGS if _normalise_name(name) not in normalised]
    if missing:
        raise UnsupportedNetwork(
            f"the checkpoint lacks the findings {', '.join(missing)}: all of ours are needed"
        )
    twice = [name for name in FINDINGS if normalised.count(_normalise_name(name)) > 1]
    if twice:
        raise UnsupportedNetwork(f"the checkpoint has {twice[0]} twice")
    return [normalised.index(_normalise_name(name)) for name in FINDINGS]


def _convert_head(state: dict[str, NDArray[np.generic]], outputs: Sequence[str]) -> tuple[Floats, Floats]:
    layer = (
        "classifier.0" if "classifier.0.weight" in state else "classifier"
    )  # with ".0" a sigmoid follows the layer
    weight, bias = _take(state, f"{layer}.weight", 2), _take(state, f"{layer}.bias", 1)
    if weight.shape != (len(outputs), FEATURES) or bias.shape != (len(outputs),):
        raise UnsupportedNetwork(
            f"its last layer has the shape {list(weight.shape)}, not {[len(outputs), FEATURES]}: "
            f"these outputs were expected: {', '.join(name or '-' for name in outputs)}"
        )
    rows = match_outputs(outputs)
    return weight[rows].T.astype(np.float32), bias[rows].astype(np.float32)


def convert_network(state: State, outputs: Sequence[str]) -> ConvertedNetwork:
    """Convert the arrays of a PyTorch DenseNet121 to our names, axes and findings.

    Args:
        state: The arrays by their PyTorch names.
        outputs: See ``match_outputs``.

    Raises:
        UnsupportedNetwork: An array is missing, unexpected, not finite or of a wrong shape, or a
            finding is missing.

    Source:
        torchvision/models/densenet.py (names of 0.2 to 0.20); torchxrayvision/models.py (the same network).
    """
    remaining = _strip_prefixes(state)
    network: dict[str, Floats] = {}
    for theirs, ours in _convolution_names():
        weight = _take(remaining, f"{theirs}.weight", 4)
        network[f"{ours}/kernel"] = weight.transpose(2, 3, 1, 0).astype(np.float32)
    for theirs, ours in _norm_names():
        network |= _convert_norm(remaining, theirs, ours)
    kernel, bias = _convert_head(remaining, outputs)
    if remaining:
        raise UnsupportedNetwork(f"the checkpoint also has {sorted(remaining)[0]!r}: it is not a DenseNet121")
    return ConvertedNetwork(network, kernel, bias)
