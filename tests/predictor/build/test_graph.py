"""The outputs of the serving graph follow their contract, on a tiny network."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import softmax

from pipelines.training.input_check import join_check_inputs
from predictor.engines.litert import LiteRtEngine
from predictor.engines.engine import GraphOutputs
from proof.lab.bundles import TINY_FEATURES, make_head_arrays, compute_tiny_features

HEAD = make_head_arrays(TINY_FEATURES)
OFFSET = HEAD["calibration/scale"] * HEAD["head/bias"] + HEAD["calibration/offset"]


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


@pytest.fixture(scope="module")
def radiographs() -> Any:
    """Noise of several brightnesses."""
    random = np.random.default_rng(0)
    return np.stack([random.integers(0, top, (224, 224, 1), dtype=np.uint8) for top in (2, 60, 150, 255)])


@pytest.fixture(scope="module")
def outputs(bundle: Path, radiographs: Any) -> GraphOutputs:
    """The graph's outputs for them."""
    return LiteRtEngine(bundle, threads=1).run(radiographs)


def test_probabilities_are_the_calibrated_sigmoid(outputs: GraphOutputs, radiographs: Any) -> None:
    """probability = sigmoid(scale * (features @ kernel + bias) + offset)."""
    features = compute_tiny_features(radiographs).mean(axis=(1, 2))
    score = HEAD["calibration/scale"] * (features @ HEAD["head/kernel"]) + OFFSET
    assert_allclose(outputs.probability, sigmoid(score), atol=1e-5)


def test_an_activation_map_averages_to_its_score(outputs: GraphOutputs) -> None:
    """sigmoid(mean of the map + offset) is the probability of the finding."""
    assert outputs.activation_map.shape == (4, 14, 7, 7)
    assert_allclose(
        sigmoid(outputs.activation_map.mean(axis=(2, 3)) + OFFSET), outputs.probability, atol=1e-5
    )


def test_an_activation_map_keeps_its_place(bundle: Path) -> None:
    """Only the position whose pixels change has another contribution."""
    dark = np.zeros((1, 224, 224, 1), np.uint8)
    spot = dark.copy()
    spot[0, 64:96, 160:192] = 200
    engine = LiteRtEngine(bundle, threads=1)
    change = np.abs(engine.run(spot).activation_map - engine.run(dark).activation_map).max(axis=(0, 1))
    assert np.argwhere(change > 1e-6).tolist() == [[2, 5]]


def test_typicality_is_the_share_of_known_radiographs_that_lie_farther(
    outputs: GraphOutputs, radiographs: Any
) -> None:
    """The position of the Mahalanobis distance among the quantiles."""
    centred = compute_tiny_features(radiographs).mean(axis=(1, 2)) - HEAD["typicality/mean"]
    along = (centred @ HEAD["typicality/components"]) ** 2
    residual = (centred**2).sum(axis=1) - along.sum(axis=1)
    square = (along / HEAD["typicality/variances"]).sum(axis=1)
    distance = np.sqrt(square + residual / HEAD["typicality/residual_variance"])[:, None]
    low, high = HEAD["typicality/quantiles"][:-1], HEAD["typicality/quantiles"][1:]
    expected = np.clip((high - distance) / (high - low), 0, 1).mean(axis=1)
    assert_allclose(outputs.typicality, expected, atol=1e-4)
    assert outputs.distance is not None
    assert_allclose(outputs.distance, distance, rtol=1e-4)
    assert 0 < outputs.typicality.min() < outputs.typicality.max() < 1


def test_the_input_check_is_a_softmax_of_features_and_tiles(outputs: GraphOutputs, radiographs: Any) -> None:
    """The graph computes what the fit assumes: softmax(inputs @ kernel + bias)."""
    inputs = join_check_inputs(radiographs[..., 0], compute_tiny_features(radiographs).mean(axis=(1, 2)))
    scores = inputs @ HEAD["input_check/kernel"] + HEAD["input_check/bias"]
    assert outputs.input_check is not None
    assert_allclose(outputs.input_check, softmax(scores, axis=1), atol=1e-5)


def test_a_head_without_an_input_check_has_the_graph_of_earlier_versions() -> None:
    """Its outputs are the three that older bundles have, in their order."""
    import tensorflow as tf

    from predictor.build.graph import compute_outputs
    from predictor.build.weights import take_head

    head = take_head({name: array for name, array in HEAD.items() if not name.startswith("input_check")})
    found = compute_outputs(tf.zeros((1, 224, 224, 1)), tf.ones((1, 7, 7, TINY_FEATURES)), head)
    assert list(found) == ["probability", "activation_map", "typicality"]
