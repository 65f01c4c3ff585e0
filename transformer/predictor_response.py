"""Proving that what came back from the predictor can be an answer, before anything is kept of it."""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from pleura.contract import MAP_SIZE, PREPROCESSING_VERSION
from pleura.errors import InvalidAnswer
from pleura.findings import FINDINGS
from transformer.answer import Floats, Prediction, Revision

_COUNT: Final = len(FINDINGS)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_VERSION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]{0,63}")


def read_prediction(response: Any, count: int) -> Prediction:
    """Read a V2 gRPC response to ``count`` radiographs.

    Raises:
        InvalidAnswer: An output is missing, of another datatype or shape, not finite, or outside [0, 1]; the
            revision does not say who it is; or it was trained on another preprocessing.
    """
    arrays = _arrays_of(response)
    parameters = {key: value.string_param for key, value in response.parameters.items()}
    if parameters.get("preprocessing_version") != PREPROCESSING_VERSION:
        raise InvalidAnswer("the predictor's model was trained on another preprocessing")
    prediction = Prediction(
        _checked(arrays, "probability", (count, _COUNT)),
        _checked(arrays, "threshold", (_COUNT,)),
        _checked(arrays, "typicality", (count,)),
        _checked(arrays, "activation_map", (count, _COUNT, MAP_SIZE, MAP_SIZE)),
        _revision_of(response.model_version, parameters.get("model_digest", "")),
        PREPROCESSING_VERSION,
    )
    for name in ("probability", "threshold", "typicality"):
        values = arrays[name]
        if values.min() < 0.0 or values.max() > 1.0:
            raise InvalidAnswer(f"the predictor's {name} is outside [0, 1]")
    return prediction


def version_label(version: str) -> str:
    """The version that a predictor says it has, where that has the form of one; "other" where it has not."""
    return version if _VERSION.fullmatch(version) else "other"


def _revision_of(version: str, digest: str) -> Revision:
    if not (_VERSION.fullmatch(version) and _DIGEST.fullmatch(digest)):
        raise InvalidAnswer("the predictor does not say which model answered")
    return Revision(version, digest)


def _arrays_of(response: Any) -> dict[str, Floats]:
    outputs, raw = response.outputs, response.raw_output_contents
    if raw and len(raw) != len(outputs):
        raise InvalidAnswer("the predictor's outputs and their contents differ in number")
    arrays = {}
    for index, output in enumerate(outputs):
        if output.datatype != "FP32":
            raise InvalidAnswer("the predictor's outputs must be FP32")
        flat = _floats_of(raw[index]) if raw else np.array(output.contents.fp32_contents, np.float32)
        if any(size < 0 for size in output.shape) or math.prod(output.shape) != flat.size:
            raise InvalidAnswer("the predictor's outputs do not fit their shapes")
        arrays[output.name] = flat.reshape(tuple(output.shape))
    return arrays


def _floats_of(raw: bytes) -> Floats:
    if len(raw) % 4:
        raise InvalidAnswer("the predictor's outputs are cut short")
    return np.frombuffer(raw, "<f4").astype(np.float32, copy=False)


def _checked(arrays: Mapping[str, Floats], name: str, shape: tuple[int, ...]) -> Floats:
    array = arrays.get(name)
    if array is None or array.shape != shape:
        raise InvalidAnswer(f"the predictor's {name} is missing or has another shape than {list(shape)}")
    if not np.isfinite(array).all():
        raise InvalidAnswer(f"the predictor's {name} is not finite")
    return array
