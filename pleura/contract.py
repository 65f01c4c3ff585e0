"""What the services agree on: the model's name, its inputs and outputs, and the preprocessing version."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pleura.findings import FINDINGS

MODEL_NAME: Final = "chest-xray"
PREPROCESSING_VERSION: Final = "1"
"""Version of ``pleura.radiograph.tensor``; cached answers and model bundles carry it."""
READER_VERSION: Final = "3"
"""Version of ``pleura.radiograph.reader``. Cached answers carry it: an answer for a file that was read
wrongly does not outlive the correction. From version 3 on they hold what was noticed. Bundles do not carry
it: a file that was read right gives the same tensor.
"""
SIZE_PX: Final = 224
"""Rows and columns of the tensor that the network reads."""
MAP_SIZE: Final = 7
"""Rows and columns of an activation map."""
MAX_RADIOGRAPHS: Final = 32
"""Most radiographs in one request."""
FINDING_HEADER: Final = "pleura-finding"
"""Header of an overlay that names the finding it shows."""
READS_ALL_HEADER: Final = "x-pleura-reads-all"
"""Header by which the proxy says that the principal may read the answers to other principals."""


@dataclass(frozen=True)
class TensorSpec:
    """Name, V2 datatype and shape of an input or output; -1 stands for any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def as_metadata(self) -> dict[str, Any]:
        """Return the form of V2 model metadata."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


RADIOGRAPH: Final = "radiograph"
PROBABILITY: Final = "probability"
PRESENT: Final = "present"
THRESHOLD: Final = "threshold"
TYPICALITY: Final = "typicality"
ACTIVATION_MAP: Final = "activation_map"
DISTANCE: Final = "distance"
INPUT_CHECK: Final = "input_check"
INPUT_FLAGS_OUTPUT: Final = "input_flags"
INPUT_FLAGS: Final = ("not_chest", "orientation", "inverted", "untypical")
"""What the model's input check says of a radiograph: the columns of the output ``input_flags``."""
IMAGE_ID: Final = "image_id"
IMAGE: Final = "image"

INPUT_CLASSES: Final = ("upright", "not_chest", "orientation", "inverted")
"""The classes of the input check. The first is what the model was made for; each other is a flag."""

GRAPH_OUTPUT_SHAPES: Final[Mapping[str, tuple[int, ...]]] = {
    PROBABILITY: (len(FINDINGS),),
    ACTIVATION_MAP: (len(FINDINGS), MAP_SIZE, MAP_SIZE),
    TYPICALITY: (),
}
"""Outputs of the serving graph: shape for one radiograph, all float32."""
INPUT_CHECK_SHAPES: Final[Mapping[str, tuple[int, ...]]] = {
    DISTANCE: (1,),
    INPUT_CHECK: (len(INPUT_CLASSES),),
}
"""Further outputs of the graph of a model with an input check. No two outputs have the same shape."""

_PROBABILITY: Final = TensorSpec(PROBABILITY, "FP32", (-1, len(FINDINGS)))
_PRESENT: Final = TensorSpec(PRESENT, "BOOL", (-1, len(FINDINGS)))
_TYPICALITY: Final = TensorSpec(TYPICALITY, "FP32", (-1,))
_DISTANCE: Final = TensorSpec(DISTANCE, "FP32", (-1,))
_INPUT_FLAGS: Final = TensorSpec(INPUT_FLAGS_OUTPUT, "BOOL", (-1, len(INPUT_FLAGS)))
_THRESHOLD: Final = TensorSpec(THRESHOLD, "FP32", (len(FINDINGS),))
_ACTIVATION_MAP: Final = TensorSpec(ACTIVATION_MAP, "FP32", (-1, len(FINDINGS), MAP_SIZE, MAP_SIZE))

TRANSFORMER_INPUTS: Final = (TensorSpec(IMAGE_ID, "BYTES", (-1,)), TensorSpec(IMAGE, "BYTES", (-1,)))
"""A request has exactly one of them: keys of objects in the bucket, or the files themselves."""
TRANSFORMER_OUTPUTS: Final = (_PROBABILITY, _PRESENT, _TYPICALITY, _THRESHOLD, _ACTIVATION_MAP)
TRANSFORMER_DEFAULT_OUTPUTS: Final = (PROBABILITY, PRESENT, TYPICALITY, THRESHOLD)

PREDICTOR_INPUT: Final = TensorSpec(RADIOGRAPH, "UINT8", (-1, SIZE_PX, SIZE_PX, 1))
PREDICTOR_OUTPUTS: Final = (_PROBABILITY, _THRESHOLD, _TYPICALITY, _ACTIVATION_MAP, _DISTANCE, _INPUT_FLAGS)
"""A model without an input check has no ``distance``, and flags only what is ``untypical``."""
PREDICTOR_DEFAULT_OUTPUTS: Final = (PROBABILITY, THRESHOLD, TYPICALITY, DISTANCE, INPUT_FLAGS_OUTPUT)
