"""Checks the predictor's response completely, before any part of it is used."""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from pleura.contract import INPUT_FLAGS, INPUT_FLAGS_OUTPUT, MAP_SIZE, PREPROCESSING_VERSION
from pleura.errors import InvalidAnswer
from pleura.findings import FINDINGS
from transformer.answer import Flags, Floats, Prediction, Revision

_COUNT: Final = len(FINDINGS)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_VERSION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]{0,63}")


def read_prediction(response: Any, count: int) -> Prediction:
    """Read a V2 gRPC response about ``count`` radiographs.

    Raises:
        InvalidAnswer: An output is missing, has a wrong datatype or shape, or is not finite or not in [0, 1].
            The model's version or digest is missing. The model was trained on another preprocessing.
    """
    arrays = _read_arrays(response)
    parameters = {key: value.string_param for key, value in response.parameters.items()}
    if parameters.get("preprocessing_version") != PREPROCESSING_VERSION:
        raise InvalidAnswer("the predictor's model was trained on another preprocessing")
    # the predictor checks its outputs too, but a faulty canary may not (docs/decisions/0028)
    prediction = Prediction(
        _require_finite(arrays, "probability", (count, _COUNT)),
        _require_finite(arrays, "threshold", (_COUNT,)),
        _require_finite(arrays, "typicality", (count,)),
        _require_finite(arrays, "activation_map", (count, _COUNT, MAP_SIZE, MAP_SIZE)),
        _read_revision(response.model_version, parameters.get("model_digest", "")),
        PREPROCESSING_VERSION,
        _read_flags(response, count),
    )
    for name in ("probability", "threshold", "typicality"):
        values = arrays[name]
        if values.min() < 0.0 or values.max() > 1.0:
            raise InvalidAnswer(f"the predictor's {name} is outside [0, 1]")
    return prediction


def version_label(version: str) -> str:
    """Give the metric label of a predictor's version: "other" where it does not look like a version."""
    return version if _VERSION.fullmatch(version) else "other"


def _read_revision(version: str, digest: str) -> Revision:
    if not (_VERSION.fullmatch(version) and _DIGEST.fullmatch(digest)):
        raise InvalidAnswer("the predictor does not say which model answered")
    return Revision(version, digest)


def _read_arrays(response: Any) -> dict[str, Floats]:
    outputs, raw = response.outputs, response.raw_output_contents
    if raw and len(raw) != len(outputs):
        raise InvalidAnswer("the predictor's outputs and their contents differ in number")
    arrays = {}
    for index, output in enumerate(outputs):
        if output.name == INPUT_FLAGS_OUTPUT:
            continue
        if output.datatype != "FP32":
            raise InvalidAnswer("the predictor's outputs must be FP32")
        flat = _read_floats(raw[index]) if raw else np.array(output.contents.fp32_contents, np.float32)
        # two negative sizes would multiply to the right number
        if any(size < 0 for size in output.shape) or math.prod(output.shape) != flat.size:
            raise InvalidAnswer("the predictor's outputs do not fit their shapes")
        arrays[output.name] = flat.reshape(tuple(output.shape))
    return arrays


def _read_flags(response: Any, count: int) -> Flags | None:
    """Read the flags of the input check; None if the predictor sends none."""
    raw = response.raw_output_contents
    for index, output in enumerate(response.outputs):
        if output.name != INPUT_FLAGS_OUTPUT:
            continue
        flat = (
            np.frombuffer(raw[index], np.uint8) if raw else np.array(output.contents.bool_contents, np.uint8)
        )
        shape = (count, len(INPUT_FLAGS))
        if output.datatype != "BOOL" or tuple(output.shape) != shape or flat.size != math.prod(shape):
            raise InvalidAnswer(f"the predictor's {INPUT_FLAGS_OUTPUT} are not BOOL {list(shape)}")
        return flat.reshape(shape).astype(np.bool_)
    return None


def _read_floats(raw: bytes) -> Floats:
    if len(raw) % 4:
        raise InvalidAnswer("the predictor's outputs are cut short")
    return np.frombuffer(raw, "<f4").astype(np.float32, copy=False)


def _require_finite(arrays: Mapping[str, Floats], name: str, shape: tuple[int, ...]) -> Floats:
    array = arrays.get(name)
    if array is None or array.shape != shape:
        raise InvalidAnswer(f"the predictor's {name} is missing or has another shape than {list(shape)}")
    if not np.isfinite(array).all():
        raise InvalidAnswer(f"the predictor's {name} is not finite")
    return array
