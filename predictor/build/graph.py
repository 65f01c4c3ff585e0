"""The serving graph in TensorFlow: from uint8 radiographs to probability, activation map and typicality."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from pleura.contract import ACTIVATION_MAP, GRAPH_OUTPUT_SHAPES, PROBABILITY, RADIOGRAPH, SIZE_PX, TYPICALITY
from predictor.build.weights import Head, TypicalityParameters

Features = Callable[[tf.Tensor], tf.Tensor]
"""Computes feature maps (N, 7, 7, features) from float32 (N, 224, 224, 1) in [0, 255]."""


def _compute_distance(features: tf.Tensor, known: TypicalityParameters) -> tf.Tensor:
    centred = features - known.mean
    inside = tf.square(tf.matmul(centred, known.components))
    all_directions = tf.reduce_sum(tf.square(centred), axis=1)
    outside = tf.maximum(all_directions - tf.reduce_sum(inside, axis=1), 0.0)
    scaled = tf.reduce_sum(inside * (1.0 / known.variances), axis=1)
    return tf.sqrt(scaled + outside * (1.0 / known.residual_variance))


def compute_typicality(features: tf.Tensor, known: TypicalityParameters) -> tf.Tensor:
    """Compute the share of known radiographs that lie farther from their centre than these features.

    Source:
        Lee et al., "A simple unified framework for detecting out-of-distribution samples", NeurIPS 2018
        (Mahalanobis distance); Tipping and Bishop 1999 (probabilistic PCA, one residual variance).
    """
    # it tells wrong pictures, but not wrong answers, so the service refuses nothing by it (docs/decisions/0039)
    distance = tf.reshape(_compute_distance(features, known), (-1, 1))
    steps = known.quantiles[1:] - known.quantiles[:-1]
    shares = (known.quantiles[1:] - distance) * (1.0 / steps)
    return tf.minimum(tf.reduce_mean(tf.clip_by_value(shares, 0.0, 1.0), axis=1), 1.0)


def compute_outputs(maps: tf.Tensor, head: Head) -> dict[str, tf.Tensor]:
    """Compute the outputs of the model from feature maps.

    The network ends in an average and one dense layer, which commute. The dense layer at each position gives
    the activation maps, and their average gives the score.
    """
    kernel = (head.kernel * head.scale)[None, None]
    contributions = tf.nn.conv2d(maps, kernel, strides=1, padding="VALID")
    scores = tf.reduce_mean(contributions, axis=(1, 2)) + (head.scale * head.bias + head.offset)
    return {
        PROBABILITY: tf.sigmoid(scores),
        ACTIVATION_MAP: tf.transpose(contributions, (0, 3, 1, 2)),
        TYPICALITY: compute_typicality(tf.reduce_mean(maps, axis=(1, 2)), head.typicality),
    }


class ServingGraph(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """Network and head as one graph with one signature.

    Args:
        features: The network. Its variables are saved with the graph.
        head: The layers after the network.
        batch: The number of radiographs in each run; None for any.
    """

    def __init__(self, features: Features, head: Head, batch: int | None = None) -> None:
        super().__init__(name="pleura")
        self.features = features
        self._head = head
        shape = (batch, SIZE_PX, SIZE_PX, 1)
        spec = tf.TensorSpec(shape, tf.uint8, name=RADIOGRAPH)
        self.answer: Any = tf.function(self._answer, input_signature=[spec])

    def _answer(self, radiograph: tf.Tensor) -> dict[str, tf.Tensor]:
        answers = compute_outputs(self.features(tf.cast(radiograph, tf.float32)), self._head)
        batch = radiograph.shape[0]
        for name, shape in GRAPH_OUTPUT_SHAPES.items():
            answers[name].set_shape((batch, *shape))
        return answers
