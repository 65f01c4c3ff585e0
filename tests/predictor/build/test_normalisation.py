"""The normalisation of pixels comes with the weights, and is the same in both forms of a bundle."""

from typing import Any

import numpy as np
import pytest

from predictor.build.weights import InvalidSource, Normalisation, take_normalisation

CHANNELS = Normalisation((1 / 58.4, 1 / 57.1, 1 / 57.4), (-2.1, -2.0, -1.8))


def test_a_network_of_ours_has_the_default() -> None:
    """Weights without a normalisation were trained on (pixel / 255 - 0.5) / 0.25."""
    assert take_normalisation({}) == Normalisation((1 / 63.75,), (-2.0,))


@pytest.mark.parametrize(("scale", "offset"), [([1.0], [0.0, 0.0]), ([0.0], [1.0]), ([], []), ([1.0], None)])
def test_an_invalid_normalisation_is_refused(scale: Any, offset: Any) -> None:
    """Other numbers of channels, no channel, a scale of zero, or half of it."""
    given = {"input/scale": scale, "input/offset": offset}
    arrays = {name: np.array(value, np.float32) for name, value in given.items() if value is not None}
    with pytest.raises(InvalidSource, match="input/"):
        take_normalisation(arrays)


def test_a_stem_of_three_channels_is_the_same_in_both_forms() -> None:
    """The folded network gives the same features, at the border too."""
    import tensorflow as tf

    from predictor.build.folded import FoldedNetwork
    from predictor.build.network import build_feature_network

    network = build_feature_network(CHANNELS)
    random = np.random.default_rng(0)
    for layer in network.layers:
        if layer.name.endswith("_bn"):
            layer.set_weights([random.uniform(0.5, 1.5, each.shape) for each in layer.get_weights()])
    radiograph = tf.constant(random.uniform(0, 255, (1, 64, 64, 1)), tf.float32)
    expected, folded = network(radiograph).numpy(), FoldedNetwork(network)(radiograph).numpy()
    assert expected.max() > 1
    np.testing.assert_allclose(folded, expected, rtol=1e-4, atol=1e-4)
