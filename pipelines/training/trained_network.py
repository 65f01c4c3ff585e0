"""A network with trained weights, run as it will be served."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pipelines.training.training_network import WeightArrays
from predictor.build.network import build_feature_network
from predictor.build.weights import take_normalisation

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class NetworkOutputs:
    """The outputs of a network for some radiographs: features (N, 1024) and logits (N, 14)."""

    features: Floats
    logits: Floats


def network_arrays(network: keras.Model, dtype: np.dtype[Any]) -> dict[str, NDArray[Any]]:
    """Collect the weights of a training network by layer and variable; the findings' layer is ``head``."""
    arrays = {
        f"{layer.name}/{variable.name}": np.asarray(variable.value, dtype)
        for layer in network.layers
        for variable in layer.variables
        # Keras counts the seed of a dropout layer as a variable, but it is not a weight.
        if layer.name not in ("findings", "auxiliary") and "seed" not in variable.name
    }
    kernel, bias = network.get_layer("findings").get_weights()
    return arrays | {"head/kernel": kernel.astype(dtype), "head/bias": bias.astype(dtype)}


def source_arrays(
    network: keras.Model, start: Mapping[str, NDArray[Any]] | None = None
) -> dict[str, NDArray[Any]]:
    """Collect the weights that a model source holds.

    Args:
        network: A trained network.
        start: The weights that the training started from. Their precision and normalisation are kept, because
            imported weights do not fit into half precision. None means random weights; half precision is
            enough for those.
    """
    if start is None:
        return network_arrays(network, np.dtype(np.float16))
    # An export with the default normalisation once calibrated
    # a model on another scale of greys than it was trained on.
    normalisation = {name: array for name, array in start.items() if name.startswith("input/")}
    return network_arrays(network, start["head/kernel"].dtype) | normalisation


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """The network of a model source, in TensorFlow; ``weights`` are those of ``weights.npz``."""

    weights: WeightArrays

    @cached_property
    def _features(self) -> keras.Model:
        arrays: dict[str, Any] = dict(self.weights)
        network = build_feature_network(take_normalisation(arrays))
        for layer in network.layers:
            for variable in layer.variables:
                variable.assign(arrays[f"{layer.name}/{variable.name}"].astype(np.float32))
        pooled = keras.layers.GlobalAveragePooling2D()(network.output)
        return keras.Model(network.input, pooled)

    def run(self, tensors: NDArray[np.uint8]) -> NetworkOutputs:
        """Run the network on tensors (N, 224, 224).

        Raises:
            KeyError: The weights lack a variable of the network.
        """
        kernel, bias = (self.weights[f"head/{name}"].astype(np.float32) for name in ("kernel", "bias"))
        features = self._features.predict(tensors[..., None].astype(np.float32), batch_size=16, verbose=0)
        return NetworkOutputs(features, features @ kernel + bias)
