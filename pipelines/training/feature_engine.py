"""Features of a trained network at twice the speed of TensorFlow: the network alone, folded, in LiteRT."""

import tempfile
from typing import Any, Final

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from pipelines.training.training_network import WeightArrays
from pleura.contract import RADIOGRAPH, SIZE_PX
from predictor.build.bundle import load_weights
from predictor.build.folded import FoldedNetwork
from predictor.build.network import build_feature_network
from predictor.build.weights import take_normalisation
from predictor.engines.engine import SIGNATURE

Floats = NDArray[np.floating]
_FEATURES: Final = "features"


class _FeatureGraph(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """From one radiograph, uint8 (1, 224, 224, 1), to the averages of its feature maps."""

    def __init__(self, network: keras.Model) -> None:
        super().__init__(name="features")
        self._network = FoldedNetwork(network)
        spec = tf.TensorSpec((1, SIZE_PX, SIZE_PX, 1), tf.uint8, name=RADIOGRAPH)
        self.answer: Any = tf.function(self._answer, input_signature=[spec])

    def _answer(self, radiograph: tf.Tensor) -> dict[str, tf.Tensor]:
        maps = self._network(tf.cast(radiograph, tf.float32))
        return {_FEATURES: tf.reduce_mean(maps, axis=(1, 2))}


class FeatureEngine:
    """Runs a trained network up to its features, as the bundle that is built of it will run.

    Args:
        weights: The arrays of ``weights.npz``.
        threads: Threads that compute.
    """

    def __init__(self, weights: WeightArrays, threads: int = 2) -> None:
        arrays: dict[str, Any] = dict(weights)
        network = build_feature_network(take_normalisation(arrays))
        names = {f"{layer.name}/{variable.name}" for layer in network.layers for variable in layer.variables}
        load_weights(network, {name: arrays[name].astype(np.float32) for name in names & arrays.keys()})
        with tempfile.TemporaryDirectory() as folder:
            graph = _FeatureGraph(network)
            tf.saved_model.save(graph, folder, signatures={SIGNATURE: graph.answer})
            converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
            interpreter = Interpreter(model_content=converter.convert(), num_threads=threads)
        self._run = interpreter.get_signature_runner(SIGNATURE)

    def features(self, tensors: NDArray[np.uint8]) -> Floats:
        """Compute the features (N, 1024) of tensors (N, 224, 224)."""
        rows = [self._run(**{RADIOGRAPH: tensor[None, ..., None]})[_FEATURES][0] for tensor in tensors]
        return np.stack(rows)
