"""DenseNet121 for one-channel radiographs, in backend-neutral Keras 3."""

from typing import Final

import keras

from predictor.build.weights import Normalisation

DENSE_BLOCKS: Final = (6, 12, 24, 16)
GROWTH_RATE: Final = 32
STEM_CHANNELS: Final = 64
FEATURES: Final = 1024
EPSILON: Final = 1.001e-5
_DEFAULT_NORMALISATION: Final = Normalisation()


def _normalise_relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    x = keras.layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_bn")(x)
    return keras.layers.Activation("relu", name=f"{name}_relu")(x)


def _convolve(
    x: keras.KerasTensor, channels: int, kernel: int, name: str, strides: int = 1
) -> keras.KerasTensor:
    return keras.layers.Conv2D(channels, kernel, strides=strides, padding="same", use_bias=False, name=name)(
        x
    )


def _dense_layer(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    new = _normalise_relu(x, f"{name}_0")
    new = _convolve(new, 4 * GROWTH_RATE, 1, f"{name}_1_conv")
    new = _normalise_relu(new, f"{name}_1")
    new = _convolve(new, GROWTH_RATE, 3, f"{name}_2_conv")
    return keras.layers.Concatenate(name=f"{name}_concat")([x, new])


def _transition(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    # pooling and a 1x1 convolution commute: pooling first saves three quarters of the convolution
    x = _normalise_relu(x, name)
    x = keras.layers.AveragePooling2D(2, strides=2, name=f"{name}_pool")(x)
    return _convolve(x, x.shape[-1] // 2, 1, f"{name}_conv")


def _normalise(x: keras.KerasTensor, normalisation: Normalisation) -> keras.KerasTensor:
    scale, offset = normalisation.scale, normalisation.offset
    if len(scale) == 1:
        return keras.layers.Rescaling(scale[0], offset[0])(x)
    grey = keras.layers.Concatenate(name="grey")([x] * len(scale))
    return keras.layers.Rescaling(list(scale), list(offset))(grey)


def _stem(x: keras.KerasTensor, normalisation: Normalisation) -> keras.KerasTensor:
    x = _normalise(x, normalisation)
    x = keras.layers.ZeroPadding2D(3)(x)
    x = keras.layers.Conv2D(STEM_CHANNELS, 7, strides=2, use_bias=False, name="stem_conv")(x)
    x = _normalise_relu(x, "stem")
    x = keras.layers.ZeroPadding2D(1)(x)
    return keras.layers.MaxPooling2D(3, strides=2, name="stem_pool")(x)


def build_feature_network(normalisation: Normalisation = _DEFAULT_NORMALISATION) -> keras.Model:
    """Build DenseNet121 up to its last activation, with random weights.

    Args:
        normalisation: The first step on the pixels. A stem of several channels gets the same radiograph in
            each.

    Returns:
        A model from float32 (N, rows, columns, 1) in [0, 255] to feature maps
        (N, rows / 32, columns / 32, 1024), not negative.

    Source:
        Huang et al., "Densely Connected Convolutional Networks", CVPR 2017, table 1, k = 32.
    """
    radiograph = keras.Input((None, None, 1), name="radiograph")
    x = _stem(radiograph, normalisation)
    for block, layers in enumerate(DENSE_BLOCKS, start=1):
        for layer in range(1, layers + 1):
            x = _dense_layer(x, f"block{block}_layer{layer}")
        if block < len(DENSE_BLOCKS):
            x = _transition(x, f"transition{block}")
    return keras.Model(radiograph, _normalise_relu(x, "features"), name="densenet121")
