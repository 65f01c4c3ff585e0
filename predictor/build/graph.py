"""The serving graph in TensorFlow: uint8 radiographs in; probabilities, activation maps, typicality out."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from pleura.contract import ACTIVATION_MAP, GRAPH_OUTPUT_SHAPES, PROBABILITY, RADIOGRAPH, SIZE_PX, TYPICALITY
from predictor.build.weights import Head, TypicalityParameters

Features = Callable[[tf.Tensor], tf.Tensor]
"""From float32 (N, 224, 224, 1) in [0, 255] to feature maps (N, 7, 7, features)."""


def _distance(features: tf.Tensor, known: TypicalityParameters) -> tf.Tensor:
    centred = features - known.mean
    along = tf.square(tf.matmul(centred, known.components))
    all_directions = tf.reduce_sum(tf.square(centred), axis=1)
    beside = tf.maximum(all_directions - tf.reduce_sum(along, axis=1), 0.0)
    scaled = tf.reduce_sum(along * (1.0 / known.variances), axis=1)
    return tf.sqrt(scaled + beside * (1.0 / known.residual_variance))


def typicality_of(features: tf.Tensor, known: TypicalityParameters) -> tf.Tensor:
    """Say which share of known radiographs lies farther from their centre than these features.

    Source:
        Lee et al., "A simple unified framework for detecting out-of-distribution samples", NeurIPS 2018
        (Mahalanobis distance); Tipping and Bishop 1999 (probabilistic PCA, one residual variance).
    """
    distance = tf.reshape(_distance(features, known), (-1, 1))
    steps = known.quantiles[1:] - known.quantiles[:-1]
    shares = (known.quantiles[1:] - distance) * (1.0 / steps)
    return tf.minimum(tf.reduce_mean(tf.clip_by_value(shares, 0.0, 1.0), axis=1), 1.0)


def answers_of(maps: tf.Tensor, head: Head) -> dict[str, tf.Tensor]:
    """Turn feature maps into the outputs of the model.

    The network ends in an average and one dense layer, which commute: the dense layer is applied at each
    place, which gives the activation maps, and their average gives the score.
    """
    kernel = (head.kernel * head.scale)[None, None]
    contributions = tf.nn.conv2d(maps, kernel, strides=1, padding="VALID")
    scores = tf.reduce_mean(contributions, axis=(1, 2)) + (head.scale * head.bias + head.offset)
    return {
        PROBABILITY: tf.sigmoid(scores),
        ACTIVATION_MAP: tf.transpose(contributions, (0, 3, 1, 2)),
        TYPICALITY: typicality_of(tf.reduce_mean(maps, axis=(1, 2)), head.typicality),
    }


class ServingGraph(tf.Module):  # type: ignore[misc]  # TensorFlow has no types
    """Features and head as one graph with one signature.

    Args:
        features: The network; its variables, if any, are saved with the graph.
        head: What follows it.
        batch: A fixed number of radiographs, or None for any.
    """

    def __init__(self, features: Features, head: Head, batch: int | None = None) -> None:
        super().__init__(name="pleura")
        self.features = features
        self._head = head
        shape = (batch, SIZE_PX, SIZE_PX, 1)
        spec = tf.TensorSpec(shape, tf.uint8, name=RADIOGRAPH)
        self.answer: Any = tf.function(self._answer, input_signature=[spec])

    def _answer(self, radiograph: tf.Tensor) -> dict[str, tf.Tensor]:
        answers = answers_of(self.features(tf.cast(radiograph, tf.float32)), self._head)
        batch = radiograph.shape[0]
        for name, shape in GRAPH_OUTPUT_SHAPES.items():
            answers[name].set_shape((batch, *shape))
        return answers
