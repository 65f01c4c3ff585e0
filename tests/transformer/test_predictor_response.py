"""What cannot be an answer is not taken for one."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from pleura.contract import ACTIVATION_MAP, PROBABILITY, THRESHOLD, TYPICALITY
from pleura.errors import InvalidAnswer
from proof.lab.stand_in_predictor import build_response
from tests.support.transformer_values import STABLE
from transformer.predictor_response import read_prediction

_NAMES = (PROBABILITY, THRESHOLD, TYPICALITY, ACTIVATION_MAP)
"""The outputs without which there is no answer, in their order."""


def _response(count: int = 2) -> Any:
    request = pb.ModelInferRequest(raw_input_contents=[bytes(count * 224 * 224)])
    request.inputs.add(name="radiograph", shape=[count, 224, 224, 1])
    return build_response(request, STABLE, flags=("orientation", "untypical"))


def _with_value(name: str, value: float) -> Callable[[Any], None]:
    def change(response: Any) -> None:
        index = _NAMES.index(name)
        array = np.frombuffer(response.raw_output_contents[index], "<f4").copy()
        array[-1] = value
        response.raw_output_contents[index] = array.tobytes()

    return change


def _thirteen(response: Any) -> None:
    response.outputs[0].shape[1] = 13
    response.raw_output_contents[0] = response.raw_output_contents[0][: 2 * 13 * 4]


def _without(name: str) -> Callable[[Any], None]:
    def change(response: Any) -> None:
        index = _NAMES.index(name)
        del response.outputs[index], response.raw_output_contents[index]

    return change


def _parameter(name: str, value: str) -> Callable[[Any], None]:
    return lambda response: setattr(response.parameters[name], "string_param", value)


def _set(path: str, value: Any) -> Callable[[Any], None]:
    return lambda response: setattr(response, path, value)


LIES = {
    "nan": _with_value("probability", np.nan),
    "infinity": _with_value("probability", np.inf),
    "above one": _with_value("probability", 1.001),
    "below zero": _with_value("probability", -0.001),
    "nan typicality": _with_value("typicality", np.nan),
    "typicality above one": _with_value("typicality", 1.5),
    "nan threshold": _with_value("threshold", np.nan),
    "threshold above one": _with_value("threshold", 2),
    "infinite map": _with_value("activation_map", -np.inf),
    "thirteen findings": _thirteen,
    **{f"no {name}": _without(name) for name in _NAMES},
    "cut short": lambda r: r.raw_output_contents.__setitem__(0, r.raw_output_contents[0][:-1]),
    "wrong datatype": lambda r: setattr(r.outputs[0], "datatype", "FP64"),
    "flags of another shape": lambda r: r.outputs[-1].shape.__setitem__(1, 3),
    "flags as numbers": lambda r: setattr(r.outputs[-1], "datatype", "FP32"),
    "negative shape": lambda r: r.outputs[0].shape.__setitem__(0, -2),
    "contents missing": lambda r: r.raw_output_contents.pop(),
    "no version": _set("model_version", ""),
    "odd version": _set("model_version", "1 OR 1=1"),
    "no digest": _parameter("model_digest", ""),
    "other preprocessing": _parameter("preprocessing_version", "0"),
}


@pytest.mark.parametrize("lie", LIES)
def test_an_invalid_response_is_refused(lie: str) -> None:
    """Every wrong response is an InvalidAnswer."""
    response = _response()
    LIES[lie](response)
    with pytest.raises(InvalidAnswer):
        read_prediction(response, 2)


def test_an_answer_about_another_number_of_radiographs_is_refused() -> None:
    """Two answers to one radiograph are invalid."""
    with pytest.raises(InvalidAnswer):
        read_prediction(_response(2), 1)


def test_a_valid_response_is_read() -> None:
    """A valid response is read from raw contents and from typed contents."""
    response = _response()
    raw = read_prediction(response, 2)
    for output, content in zip(response.outputs, response.raw_output_contents, strict=True):
        if output.datatype == "BOOL":
            output.contents.bool_contents.extend(map(bool, content))
        else:
            output.contents.fp32_contents.extend(np.frombuffer(content, "<f4").tolist())
    del response.raw_output_contents[:]
    typed = read_prediction(response, 2)
    np.testing.assert_array_equal(raw.probability, typed.probability)
    assert raw.input_flags is not None
    assert typed.input_flags is not None
    np.testing.assert_array_equal(raw.input_flags, typed.input_flags)
    assert raw.input_flags.tolist() == [[False, True, False, True]] * 2
    assert raw.revision == typed.revision == STABLE
