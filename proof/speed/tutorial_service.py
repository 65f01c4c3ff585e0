"""The peer: a KServe service as KServe's own pages teach it, in good faith.

A custom predictor and a custom transformer, each a ``kserve.Model``: the transformer takes a base64 file
in the V1 protocol, decodes it with Pillow, scales it to the network's floats and posts them as a nested JSON
list; the predictor makes an array of the list and calls ``model.predict``. Which of the two this process is,
``--predictor_host`` says, as in the pages.

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
        """Build the network; trained weights would be as fast."""
        import keras  # loads TensorFlow: the transformer has no use for it

        shape = (_SIZE_PX, _SIZE_PX, 3)
        network = keras.applications.DenseNet121(False, weights=None, input_shape=shape, pooling="avg")
        findings = keras.layers.Dense(14, activation="sigmoid")(network.output)
        self.model = keras.Model(network.input, findings)
        self.ready = True
        return True

    def predict(self, payload: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
        """Read the transformer's floats, and answer in V1."""
        batch = np.asarray([instance["data"] for instance in payload["instances"]], np.float32)
        return {"predictions": self.model.predict(batch, verbose=0).tolist()}


def image_transform(file: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Decode one base64 file, and scale it as the network was trained: RGB, 224 pixels."""
    image = Image.open(io.BytesIO(base64.b64decode(file))).convert("RGB")
    return np.asarray(image.resize((_SIZE_PX, _SIZE_PX)), np.float32)


class ImageTransformer(Model):  # type: ignore[misc]  # kserve has no types
    """The tutorial's transformer."""

    def preprocess(self, payload: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
        """From files to floats; kserve posts them to the predictor."""
        tensors = [image_transform(instance["image"]["b64"]) for instance in payload["instances"]]
        return {"instances": [{"data": tensor.tolist()} for tensor in tensors]}

    def postprocess(
        self,
        response: dict[str, Any],
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """The predictor's answer, as it is."""
        return response


def main() -> None:
    """Serve the one or the other, told by kserve's own flags."""
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
