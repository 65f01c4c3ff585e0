"""A KServe service written as KServe's own tutorials teach it, as a fair peer for comparison.

It has a custom predictor and a custom transformer, each a ``kserve.Model``. The transformer takes a base64
file in the V1 protocol, decodes it with Pillow, scales it to the network's floats and posts them as a nested
JSON list. The predictor makes an array of the list and calls ``model.predict``. The process is the
transformer if ``--predictor_host`` is set, as in the tutorials.

Source:
    https://kserve.github.io/website/docs/model-serving/predictive-inference/frameworks/custom-predictor,
    https://kserve.github.io/website/docs/model-serving/predictive-inference/transformers/custom-transformer;
    kserve/kserve, python/custom_model/model.py and python/custom_transformer/model.py (Apache-2.0).
"""

import argparse
import base64
import io
from typing import Any

import numpy as np
from kserve import Model, ModelServer, model_server
from kserve.model import PredictorConfig
from PIL import Image

_SIZE_PX = 224


class DenseNetPredictor(Model):  # type: ignore[misc]  # kserve has no types
    """The tutorial's predictor, with the network that we serve."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.model: Any = None
        self.load()

    def load(self) -> bool:
        """Build the network with random weights, which are as fast as trained ones."""
        import keras  # loads TensorFlow, which the transformer does not need

        shape = (_SIZE_PX, _SIZE_PX, 3)
        network = keras.applications.DenseNet121(False, weights=None, input_shape=shape, pooling="avg")
        findings = keras.layers.Dense(14, activation="sigmoid")(network.output)
        self.model = keras.Model(network.input, findings)
        self.ready = True
        return True

    def predict(self, payload: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
        """Run the network on the transformer's floats, and answer in V1."""
        batch = np.asarray([instance["data"] for instance in payload["instances"]], np.float32)
        return {"predictions": self.model.predict(batch, verbose=0).tolist()}


def image_transform(file: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Decode one base64 file, and scale it to the network's input, RGB with 224 pixels."""
    image = Image.open(io.BytesIO(base64.b64decode(file))).convert("RGB")
    return np.asarray(image.resize((_SIZE_PX, _SIZE_PX)), np.float32)


class ImageTransformer(Model):  # type: ignore[misc]  # kserve has no types
    """The tutorial's transformer."""

    def preprocess(self, payload: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
        """Decode the files to floats, which kserve posts to the predictor."""
        tensors = [image_transform(instance["image"]["b64"]) for instance in payload["instances"]]
        return {"instances": [{"data": tensor.tolist()} for tensor in tensors]}

    def postprocess(
        self,
        response: dict[str, Any],
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """Return the predictor's answer unchanged."""
        return response


def main() -> None:
    """Serve the transformer or the predictor, as kserve's own flags say."""
    parser = argparse.ArgumentParser(parents=[model_server.parser])
    arguments, _ = parser.parse_known_args()
    if arguments.predictor_host:
        config = PredictorConfig(arguments.predictor_host, arguments.predictor_protocol)
        model: Model = ImageTransformer(arguments.model_name, config)
        model.ready = True
    else:
        model = DenseNetPredictor(arguments.model_name)
    ModelServer().start([model])


if __name__ == "__main__":
    main()
