"""The serving graph in TensorFlow: from uint8 radiographs to everything that the model says of them."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from pleura.contract import (
    ACTIVATION_MAP,
    DISTANCE,
    GRAPH_OUTPUT_SHAPES,
    INPUT_CHECK,
    INPUT_CHECK_SHAPES,
    PROBABILITY,
    RADIOGRAPH,
    SIZE_PX,
    TYPICALITY,
)
from predictor.build.weights import CHECK_TILES, Head, InputCheckParameters, TypicalityParameters

Features = Callable[[tf.Tensor], tf.Tensor]
"""Computes feature maps (N, 7, 7, features) from float32 (N, 224, 224, 1) in [0, 255]."""


def _compute_distance(features: tf.Tensor, known: TypicalityParameters) -> tf.Tensor:
    centred = features - known.mean
    inside = tf.square(tf.matmul(centred, known.components))
    all_directions = tf.reduce_sum(tf.square(centred), axis=1)
    outside = tf.maximum(all_directions - tf.reduce_sum(inside, axis=1), 0.0)
    scaled = tf.reduce_sum(inside * (1.0 / known.variances), axis=1)
    return tf.sqrt(scaled + outside * (1.0 / known.residual_variance))


def compute_typicality(distance: tf.Tensor, known: TypicalityParameters) -> tf.Tensor:
    """Compute the share of known radiographs that lie farther from their centre than this distance (N, 1).

    Source:
        Lee et al., "A simple unified framework for detecting out-of-distribution samples", NeurIPS 2018
        (Mahalanobis distance); Tipping and Bishop 1999 (probabilistic PCA, one residual variance).
    """
    # it does not tell another hospital's films from wrong pictures: the input check does (docs/decisions/0047)
    steps = known.quantiles[1:] - known.quantiles[:-1]
    shares = (known.quantiles[1:] - distance) * (1.0 / steps)
    return tf.minimum(tf.reduce_mean(tf.clip_by_value(shares, 0.0, 1.0), axis=1), 1.0)


def compute_check_inputs(radiograph: tf.Tensor, features: tf.Tensor) -> tf.Tensor:
    """Join what the input check looks at: the features, and the radiograph in 14 x 14 tiles of grey.

    Args:
        radiograph: float32 (N, 224, 224, 1) in [0, 255].
        features: float32 (N, features), the averages of the feature maps.
    """
    side = radiograph.shape[1] // CHECK_TILES
    tiles = tf.nn.avg_pool2d(radiograph, side, side, "VALID")
    return tf.concat([features, tf.reshape(tiles, (-1, CHECK_TILES**2))], axis=1)


def _check_input(inputs: tf.Tensor, check: InputCheckParameters) -> tf.Tensor:
    return tf.nn.softmax(tf.matmul(inputs, check.kernel) + check.bias)


def compute_outputs(radiograph: tf.Tensor, maps: tf.Tensor, head: Head) -> dict[str, tf.Tensor]:
    """Compute the outputs of the model from the radiograph, in [0, 255], and its feature maps.

    The network ends in an average and one dense layer, which commute. The dense layer at each position gives
    the activation maps, and their average gives the score.
    """
    kernel = (head.kernel * head.scale)[None, None]
    contributions = tf.nn.conv2d(maps, kernel, strides=1, padding="VALID")
    scores = tf.reduce_mean(contributions, axis=(1, 2)) + (head.scale * head.bias + head.offset)
    outputs = {
        PROBABILITY: tf.sigmoid(scores),
        ACTIVATION_MAP: tf.transpose(contributions, (0, 3, 1, 2)),
    }
    features = tf.reduce_mean(maps, axis=(1, 2))
    distance = tf.reshape(_compute_distance(features, head.typicality), (-1, 1))
    outputs[TYPICALITY] = compute_typicality(distance, head.typicality)
    if head.input_check is None:  # the graph stays as it was, and so does the digest of its bundle
        return outputs
    checked = _check_input(compute_check_inputs(radiograph, features), head.input_check)
    return outputs | {DISTANCE: distance, INPUT_CHECK: checked}


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
        pixels = tf.cast(radiograph, tf.float32)
        answers = compute_outputs(pixels, self.features(pixels), self._head)
        shapes = {**GRAPH_OUTPUT_SHAPES, **INPUT_CHECK_SHAPES}
        for name, answer in answers.items():
            answer.set_shape((radiograph.shape[0], *shapes[name]))
        return answers
