"""The network that is trained: the DenseNet121 that is served, with a second head that is not."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from pipelines.training.batches import UNSERVED
from pipelines.training.parameters import TrainingParameters
from pleura.findings import FINDINGS
from predictor.build.network import build_feature_network
from predictor.build.weights import Normalisation, take_normalisation

_TRAINED_HERE: Final = Normalisation()
_CPU_INFO: Final = Path("/proc/cpuinfo")
WeightArrays = Mapping[str, NDArray[np.generic]]
"""The arrays of ``weights.npz`` by ``layer/variable``."""


class UnusableWeights(Exception):
    """The weights to start from are missing, belong to another network, or are not finite."""


def masked_cross_entropy(
    weights: NDArray[np.float32], smoothing: float = 0.0
) -> Callable[[keras.KerasTensor, keras.KerasTensor], keras.KerasTensor]:
    """Make a loss: binary cross-entropy over the known targets. A NaN target adds nothing.

    Args:
        weights: The weight of a present finding, one per target.
        smoothing: The distance of the smoothed targets from 0 and 1.
    """

    def loss(targets: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
        known = ops.logical_not(ops.isnan(targets))
        # NaN times 0 is NaN, and so is its gradient: unknown
        # targets need a number before the loss is computed.
        truth = ops.where(known, targets, ops.zeros_like(targets))
        smooth = truth * (1 - 2 * smoothing) + smoothing
        losses = ops.binary_crossentropy(smooth, ops.cast(logits, "float32"), from_logits=True)
        losses = losses * (1 + truth * (ops.convert_to_tensor(weights) - 1))
        return ops.mean(ops.where(known, losses, ops.zeros_like(losses)))

    return loss


def has_bfloat16() -> bool:
    """Whether this machine computes in bfloat16: a GPU or TPU, or a CPU with the instructions for it."""
    if any("gpu" in name or "tpu" in name for name in keras.distribution.list_devices()):
        return True
    return _CPU_INFO.exists() and not {"avx512_bf16", "amx_bf16"}.isdisjoint(_CPU_INFO.read_text().split())


def build_training_network(
    parameters: TrainingParameters, normalisation: Normalisation = _TRAINED_HERE
) -> keras.Model:
    """Build the network with its two heads: the fourteen findings, and the targets that are not served.

    The auxiliary source (children of one hospital) has an output of its own. It shapes the features, but it
    does not teach the network how pneumonia looks in an adult.
    """
    # The policy is global in Keras: networks that are built later must not inherit it.
    previous_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(
        "mixed_bfloat16" if parameters.mixed_precision and has_bfloat16() else "float32"
    )
    try:
        features = build_feature_network(normalisation)
        pooled = keras.layers.GlobalAveragePooling2D(name="pooled")(features.output)
        pooled = keras.layers.Dropout(parameters.dropout)(pooled)
        findings = keras.layers.Dense(len(FINDINGS), name="findings", dtype="float32")(pooled)
        auxiliary = keras.layers.Dense(len(UNSERVED), name="auxiliary", dtype="float32")(pooled)
        outputs = keras.layers.Concatenate(dtype="float32")([findings, auxiliary])
    finally:
        keras.config.set_dtype_policy(previous_policy)
    return keras.Model(features.input, outputs)


def load_start_weights(network: keras.Model, weights: WeightArrays) -> None:
    """Set a training network to the weights of a model source. The auxiliary head stays as it is.

    Raises:
        UnusableWeights: An array is missing, has another shape, or is not finite.
    """
    arrays = dict(weights) | {
        f"findings/{name}": weights.get(f"head/{name}", np.empty(0)) for name in ("kernel", "bias")
    }
    for layer in network.layers:
        if layer.name == "auxiliary":
            continue
        for variable in layer.variables:
            if "seed" in variable.name:
                continue
            name = f"{layer.name}/{variable.name}"
            value = np.asarray(arrays.get(name, np.empty(0)), np.float32)
            if value.shape != tuple(variable.shape) or not np.isfinite(value).all():
                raise UnusableWeights(f"{name!r} is missing, has another shape, or is not finite")
            variable.assign(value)


def initialise_network(parameters: TrainingParameters, start: WeightArrays | None) -> keras.Model:
    """Build a training network with random weights, or with the weights and normalisation of a source.

    Raises:
        UnusableWeights: See ``load_start_weights``.
    """
    if start is None:
        return build_training_network(parameters)
    # An imported network must see greys on the scale that it was trained on.
    normalisation = {name: np.asarray(start[name], np.float32) for name in start if name.startswith("input/")}
    network = build_training_network(parameters, take_normalisation(normalisation))
    load_start_weights(network, start)
    return network
