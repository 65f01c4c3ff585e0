"""Map the arrays of torchvision's DenseNet121 to those of ``predictor.build.network``.

Three differences are exact: PyTorch pools behind the convolution of a transition and we before it (both are
linear); its batch norms have another epsilon, which goes into gamma; its arrays have another order of axes.
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
# torchvision before 0.2.1 called them so; PyTorch since 0.4 lets no module's name have a dot.
_OLD_NAME: Final = re.compile(r"(denselayer\d+)\.(norm|conv)\.([12])\.")
_NEEDLESS: Final = re.compile(r".*\.num_batches_tracked|op_threshs")
_SYNONYMS: Final = {"pleural_effusion": "effusion", "infiltrate": "infiltration"}
State = Mapping[str, NDArray[np.generic]]
Floats = NDArray[np.float32]


class UnsupportedNetwork(Exception):
    """The checkpoint is no DenseNet121 for radiographs, or lacks what we serve."""


@dataclass(frozen=True)
class ConvertedNetwork:
    """The network by our ``layer/variable``, and its last layer for our findings in our order."""

    network: Mapping[str, Floats]
    kernel: Floats
    bias: Floats


def _convolutions() -> Iterator[tuple[str, str]]:
    yield "features.conv0", "stem_conv"
    for block, layers in enumerate(DENSE_BLOCKS, start=1):
        for layer in range(1, layers + 1):
            theirs, ours = f"features.denseblock{block}.denselayer{layer}", f"block{block}_layer{layer}"
            yield f"{theirs}.conv1", f"{ours}_1_conv"
            yield f"{theirs}.conv2", f"{ours}_2_conv"
    for block in range(1, len(DENSE_BLOCKS)):
        yield f"features.transition{block}.conv", f"transition{block}_conv"


def _norms() -> Iterator[tuple[str, str]]:
    yield "features.norm0", "stem_bn"
    for block, layers in enumerate(DENSE_BLOCKS, start=1):
        for layer in range(1, layers + 1):
            theirs, ours = f"features.denseblock{block}.denselayer{layer}", f"block{block}_layer{layer}"
            yield f"{theirs}.norm1", f"{ours}_0_bn"
            yield f"{theirs}.norm2", f"{ours}_1_bn"
    for block in range(1, len(DENSE_BLOCKS)):
        yield f"features.transition{block}.norm", f"transition{block}_bn"
    yield "features.norm5", "features_bn"


def _plain_names(state: State) -> dict[str, NDArray[np.generic]]:
    """Drop what wrappers put before the names: ``module.``, ``densenet121.``."""
    prefixes = [name.removesuffix(_FIRST) for name in state if name.endswith(_FIRST)]
    if len(prefixes) != 1:
        raise UnsupportedNetwork(
            f"the checkpoint has {len(prefixes)} arrays called {_FIRST!r}: it is no DenseNet"
        )
    strange = sorted(name for name in state if not name.startswith(prefixes[0]))
    if strange:
        raise UnsupportedNetwork(f"{strange[0]!r} is no part of the DenseNet at {prefixes[0]!r}")
    plain = {_OLD_NAME.sub(r"\1.\2\3.", name.removeprefix(prefixes[0])): a for name, a in state.items()}
    if len(plain) != len(state):
        raise UnsupportedNetwork("two arrays of the checkpoint have one name")
    return {name: array for name, array in plain.items() if not _NEEDLESS.fullmatch(name)}


def _take(state: dict[str, NDArray[np.generic]], name: str, dimensions: int) -> NDArray[np.float64]:
    if name not in state:
        raise UnsupportedNetwork(f"the checkpoint lacks {name!r}: it is no DenseNet121")
    array = state.pop(name)
    if array.ndim != dimensions or array.dtype.kind != "f":
        raise UnsupportedNetwork(f"{name!r} has the shape {list(array.shape)} and the type {array.dtype}")
    if not np.isfinite(array).all():
        raise UnsupportedNetwork(f"{name!r} holds values that are not finite")
    return array.astype(np.float64)


def _norm(state: dict[str, NDArray[np.generic]], theirs: str, ours: str) -> dict[str, Floats]:
    names = ("weight", "bias", "running_mean", "running_var")
    gamma, beta, mean, variance = (_take(state, f"{theirs}.{name}", 1) for name in names)
    if (variance < 0).any():
        raise UnsupportedNetwork(f"a variance of {theirs!r} is negative")
    gamma = gamma * np.sqrt((variance + EPSILON) / (variance + _TORCH_EPSILON))
    values = {"gamma": gamma, "beta": beta, "moving_mean": mean, "moving_variance": variance}
    return {f"{ours}/{name}": value.astype(np.float32) for name, value in values.items()}


def _spoken(name: str) -> str:
    spoken = re.sub(r"[ -]+", "_", name.strip()).casefold()
    return _SYNONYMS.get(spoken, spoken)


def match_outputs(outputs: Sequence[str]) -> list[int]:
    """Say which output of a checkpoint is which of our findings, by name.

    Args:
        outputs: What the checkpoint's outputs are called, in its order; empty for one that was not trained.

    Raises:
        NotTheNetwork: A finding is missing, or there twice.
    """
    spoken = [_spoken(name) for name in outputs]
    missing = [name for name in FINDINGS if _spoken(name) not in spoken]
    if missing:
        raise UnsupportedNetwork(f"the checkpoint does not read {', '.join(missing)}: all of ours are needed")
    twice = [name for name in FINDINGS if spoken.count(_spoken(name)) > 1]
    if twice:
        raise UnsupportedNetwork(f"the checkpoint has {twice[0]} twice")
    return [spoken.index(_spoken(name)) for name in FINDINGS]


def _head(state: dict[str, NDArray[np.generic]], outputs: Sequence[str]) -> tuple[Floats, Floats]:
    layer = "classifier.0" if "classifier.0.weight" in state else "classifier"  # 0: a sigmoid follows
    weight, bias = _take(state, f"{layer}.weight", 2), _take(state, f"{layer}.bias", 1)
    if weight.shape != (len(outputs), FEATURES) or bias.shape != (len(outputs),):
        raise UnsupportedNetwork(
            f"its last layer has the shape {list(weight.shape)}, not {[len(outputs), FEATURES]}: "
            f"these outputs were expected: {', '.join(name or '-' for name in outputs)}"
        )
    rows = match_outputs(outputs)
    return weight[rows].T.astype(np.float32), bias[rows].astype(np.float32)


def convert_network(state: State, outputs: Sequence[str]) -> ConvertedNetwork:
    """Bring the arrays of a PyTorch DenseNet121 to our names and our order of axes and findings.

    Args:
        state: Arrays by PyTorch's names.
        outputs: See ``rows_of``.

    Raises:
        NotTheNetwork: An array is missing, left over, not finite or of a wrong shape; or a finding is
            missing.

    Source:
        torchvision/models/densenet.py (names of 0.2 to 0.20); torchxrayvision/models.py (the same network).
    """
    left = _plain_names(state)
    network: dict[str, Floats] = {}
    for theirs, ours in _convolutions():
        weight = _take(left, f"{theirs}.weight", 4)
        network[f"{ours}/kernel"] = weight.transpose(2, 3, 1, 0).astype(np.float32)
    for theirs, ours in _norms():
        network |= _norm(left, theirs, ours)
    kernel, bias = _head(left, outputs)
    if left:
        raise UnsupportedNetwork(f"the checkpoint has {sorted(left)[0]!r} besides: it is no DenseNet121")
    return ConvertedNetwork(network, kernel, bias)
