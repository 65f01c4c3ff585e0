"""Conversion between the bytes of the V2 (Open Inference) protocol and kserve's requests and responses.

kserve decodes binary REST tensors into Python lists, accepts only UTF-8 in BYTES, and leaves the selection of
outputs to the model. This module does all three on numpy arrays.

Source:
    Open Inference Protocol, "Inference Request JSON Object"; Triton, "Binary Tensor Data Extension".
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson

from pleura.contract import TensorSpec
from pleura.errors import InvalidRequest, TooLarge
from pleura.serving.kserve_import import (
    InferInput,
    InferOutput,
    InferRequest,
    InferResponse,
    RequestedOutput,
)
from pleura.serving.v2_tensors import NUMPY_TYPES, Array, bytes_of_array, quote_name, require_datatype

MAX_JSON_BYTES: Final = 8 * 2**20
"""The event loop reads the JSON. 32 radiographs as lists fit; a large file must come as binary data."""


def _read_field(document: Mapping[str, Any], key: str, kind: type, where: str) -> Any:
    value = document.get(key)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise InvalidRequest(f"{where} needs {key!r}")
    return value


def _read_parameters(document: Mapping[str, Any], where: str) -> dict[str, Any]:
    value = document.get("parameters")
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidRequest(f"'parameters' of {where} must be an object")
    return value


def _read_list(item: Mapping[str, Any], where: str) -> list[Any]:
    if "data" not in item:
        raise InvalidRequest(f"{where} needs 'data'")
    data = item["data"]
    if not isinstance(data, list):
        raise InvalidRequest(f"'data' of {where} must be a list")
    return data


def _require_flag(parameters: Mapping[str, Any], key: str, where: str) -> None:
    # the text "false" is true in Python (docs/decisions/0042)
    if not isinstance(parameters.get(key), bool | None):
        raise InvalidRequest(f"{key!r} of {where} must be a boolean")


def _read_input(item: Any, binary: memoryview) -> tuple[InferInput, int]:
    if not isinstance(item, dict):
        raise InvalidRequest("each input must be an object")
    name = _read_field(item, "name", str, "an input")
    where = quote_name(name)
    shape = _read_field(item, "shape", list, where)
    # in Python true is an int as well
    if not all(type(size) is int for size in shape):
        raise InvalidRequest(f"'shape' of {where} must hold integers")
    parameters = _read_parameters(item, where)
    size = parameters.get("binary_data_size")
    datatype = _read_field(item, "datatype", str, where)
    require_datatype(name, datatype)
    infer_input = InferInput(name, shape, datatype, parameters=parameters)
    if size is None:
        infer_input.data = _read_list(item, where)
        return infer_input, 0
    if item.get("data") is not None:
        raise InvalidRequest(f"{where} has both 'data' and 'binary_data_size'")
    if type(size) is not int or not 0 <= size <= len(binary):
        raise InvalidRequest(f"'binary_data_size' of {where} does not fit the body")
    # a view of the body: kserve's own setter would decode it into a Python list
    infer_input._raw_data = binary[:size]
    return infer_input, size


def _read_requested_outputs(document: Mapping[str, Any]) -> list[RequestedOutput] | None:
    outputs = document.get("outputs")
    # None only: by their truth {}, "", 0 and false would count as none too (docs/decisions/0042)
    if outputs is None:
        return None
    if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
        raise InvalidRequest("'outputs' must be a list of objects")
    names = [_read_field(output, "name", str, "a requested output") for output in outputs]
    parameters = [_read_parameters(output, "a requested output") for output in outputs]
    for output_parameters in parameters:
        _require_flag(output_parameters, "binary_data", "a requested output")
    return [RequestedOutput(n, p) for n, p in zip(names, parameters, strict=True)] or None


def _read_document(json: memoryview) -> dict[str, Any]:
    if len(json) > MAX_JSON_BYTES:
        raise TooLarge(f"the JSON part exceeds {MAX_JSON_BYTES} bytes; send large tensors as binary data")
    try:
        document = orjson.loads(json)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest("the body is not JSON") from error
    if not isinstance(document, dict):
        raise InvalidRequest("the body must be a JSON object")
    return document


def read_request(body: bytes, json_length: int | None, model: str, version: str | None) -> InferRequest:
    """Decode the body of a REST inference request.

    Args:
        body: JSON, followed by the binary tensors where ``json_length`` is shorter than the body.
        json_length: Value of ``inference-header-content-length``; None where the header is absent.
        model: Model name of the path.
        version: Model version of the path, if any.

    Returns:
        The request. ``id`` may be None. Inputs keep their raw bytes or JSON lists (see ``array_of_input``).

    Raises:
        InvalidRequest: Not a V2 inference request.
    """
    if not body:
        raise InvalidRequest("the body is empty")
    length = len(body) if json_length is None else json_length
    if not 0 < length <= len(body):
        raise InvalidRequest("'inference-header-content-length' does not fit the body")
    view = memoryview(body)
    document = _read_document(view[:length])
    if "instances" in document:
        raise InvalidRequest("this is a request of KServe V1: V2 has 'inputs' instead of 'instances'")
    inputs, remaining = [], view[length:]
    for item in _read_field(document, "inputs", list, "the request"):
        infer_input, size = _read_input(item, remaining)
        inputs.append(infer_input)
        remaining = remaining[size:]
    if remaining:
        raise InvalidRequest("the body is longer than its inputs")
    request_id = document.get("id")
    if not isinstance(request_id, str | None):
        raise InvalidRequest("'id' must be a string")
    parameters = _read_parameters(document, "the request")
    _require_flag(parameters, "binary_data_output", "the request")
    return InferRequest(
        model,
        inputs,
        request_id=request_id,
        parameters=parameters,
        request_outputs=_read_requested_outputs(document),
        model_version=version,
    )


def select_outputs(
    request: InferRequest, specs: Sequence[TensorSpec], default: Sequence[str]
) -> tuple[str, ...]:
    """Select the outputs of the response: the requested ones, or the default.

    Raises:
        InvalidRequest: The model has no output of a requested name, or a name occurs twice.
    """
    if not request.request_outputs:
        return tuple(default)
    names = tuple(output.name for output in request.request_outputs)
    if not {spec.name for spec in specs}.issuperset(names):
        # the name is not repeated, since it may be a patient's (docs/decisions/0031)
        raise InvalidRequest("the model has no output of that name")
    if len(set(names)) < len(names):
        raise InvalidRequest("an output is requested twice")
    return names


def make_response(
    request: InferRequest,
    version: str,
    outputs: Mapping[str, Array],
    parameters: Mapping[str, str | bool | int] | None = None,
) -> InferResponse:
    """Make the response to a request from arrays, in their order, with the datatypes of the arrays."""
    datatypes = {np.dtype(kind): name for name, kind in NUMPY_TYPES.items()}
    infer_outputs = [
        InferOutput(name, list(array.shape), datatypes[array.dtype], data=array)
        for name, array in outputs.items()
    ]
    return InferResponse(
        request.id,
        request.model_name,
        infer_outputs,
        model_version=version,
        parameters=dict(parameters or {}),
        use_binary_outputs=True,
    )


def _list_elements(array: Array) -> Any:
    if array.dtype != np.object_:
        return np.ascontiguousarray(array).ravel()
    try:
        return [element.decode() for element in array.ravel()]
    except UnicodeDecodeError as error:
        raise InvalidRequest("an output is not UTF-8: ask for it with binary_data") from error


def _read_binary_choices(request: InferRequest) -> dict[str, bool]:
    default = bool((request.parameters or {}).get("binary_data_output", False))
    choices = {o.name: (o.parameters or {}).get("binary_data") for o in request.request_outputs or ()}
    return {"": default} | {name: default if b is None else bool(b) for name, b in choices.items()}


def write_response(response: InferResponse, request: InferRequest) -> tuple[bytes, int | None]:
    """Encode a response for REST, with binary tensors where the request asks for them.

    Returns:
        The body, and the length of its JSON part; None for the length without binary tensors.
    """
    is_binary, items, binary = _read_binary_choices(request), [], []
    for output in response.outputs:
        item: dict[str, Any] = {
            "name": output.name,
            "datatype": output.datatype,
            "shape": output.shape,
        }
        if is_binary.get(output.name, is_binary[""]):
            raw = bytes_of_array(output.data)
            item["parameters"] = {"binary_data_size": len(raw)}
            binary.append(raw)
        else:
            item["data"] = _list_elements(output.data)
        items.append(item)
    document = {
        "id": response.id,
        "model_name": response.model_name,
        "model_version": response.model_version,
        "outputs": items,
    }
    if response.parameters:
        document["parameters"] = response.parameters
    json = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return (json + b"".join(binary), len(json)) if binary else (json, None)
