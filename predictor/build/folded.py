"""DenseNet121 rewritten for LiteRT: the same function of the same weights in fewer passes over memory.

A batch norm after a convolution becomes part of the convolution. A batch norm before one, with its relu,
becomes a depthwise 1x1 convolution: XNNPACK runs it in one pass, but multiply and add in two.
"""

import keras
import numpy as np
import tensorflow as tf

from predictor.build.network import DENSE_BLOCKS
from predictor.build.weights import Array


class FoldedNetwork:
    """The network of ``build_feature_network``, with its variables as constants of the graph."""

    def __init__(self, network: keras.Model) -> None:
        self._arrays: dict[str, Array] = {
            f"{layer.name}/{variable.name}": np.array(variable)
            for layer in network.layers
            for variable in layer.variables
        }
        self._epsilon = np.float32(network.get_layer("stem_bn").epsilon)
        (self._rescaling,) = (layer for layer in network.layers if isinstance(layer, keras.layers.Rescaling))

    def __call__(self, radiograph: tf.Tensor) -> tf.Tensor:
        """Compute feature maps (N, 7, 7, 1024) from float32 (N, 224, 224, 1) in [0, 255]."""
        x = self._stem(radiograph)
        for block, layers in enumerate(DENSE_BLOCKS, start=1):
            for layer in range(1, layers + 1):
                x = self._dense_layer(x, f"block{block}_layer{layer}")
            if block < len(DENSE_BLOCKS):
                x = self._transition(x, f"transition{block}")
        return self._normalise_relu(x, "features")

    def _stem(self, radiograph: tf.Tensor) -> tf.Tensor:
        # the padding must be zero after the rescaling: the scale can go into the kernel, the offset cannot
        scale, offset = np.array(self._rescaling.scale), np.array(self._rescaling.offset)
        centred = radiograph + (offset / scale).astype(np.float32)
        padded = tf.pad(centred, ((0, 0), (3, 3), (3, 3), (0, 0)))
        kernel = self._kernel("stem_conv") * scale.astype(np.float32)[..., None]
        x = tf.nn.relu(self._convolve(padded, kernel, "stem_bn", strides=2))
        x = tf.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        return tf.nn.max_pool2d(x, 3, strides=2, padding="VALID")

    def _dense_layer(self, x: tf.Tensor, name: str) -> tf.Tensor:
        new = self._normalise_relu(x, f"{name}_0")
        new = tf.nn.relu(self._convolve(new, self._kernel(f"{name}_1_conv"), f"{name}_1_bn"))
        new = tf.nn.conv2d(new, self._kernel(f"{name}_2_conv"), strides=1, padding="SAME")
        return tf.concat([x, new], axis=-1)

    def _transition(self, x: tf.Tensor, name: str) -> tf.Tensor:
        x = tf.nn.avg_pool2d(self._normalise_relu(x, name), 2, strides=2, padding="VALID")
        return tf.nn.conv2d(x, self._kernel(f"{name}_conv"), strides=1, padding="VALID")

    def _convolve(self, x: tf.Tensor, kernel: Array, norm: str, strides: int = 1) -> tf.Tensor:
        scale, offset = self._affine(norm)
        return tf.nn.conv2d(x, kernel * scale, strides=strides, padding="VALID") + offset

    def _normalise_relu(self, x: tf.Tensor, name: str) -> tf.Tensor:
        scale, offset = self._affine(f"{name}_bn")
        x = tf.nn.depthwise_conv2d(x, scale[None, None, :, None], (1, 1, 1, 1), padding="VALID")
        return tf.nn.relu(x + offset)

    def _kernel(self, name: str) -> Array:
        return self._arrays[f"{name}/kernel"]

    def _affine(self, norm: str) -> tuple[Array, Array]:
        gamma, beta, mean, variance = (
            self._arrays[f"{norm}/{name}"] for name in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        scale: Array = gamma / np.sqrt(variance + self._epsilon)
        return scale, beta - mean * scale
