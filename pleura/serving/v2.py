"""The V2 (Open Inference) protocol between bytes and kserve's values: JSON, binary extension, selection.

kserve decodes binary REST tensors into Python lists, demands UTF-8 of BYTES, and leaves the selection of
outputs to the model; this module does all three on numpy arrays.

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
from pleura.serving.v2_tensors import NUMPY_TYPES, Array, quote_name, raw_of, require_datatype

MAX_JSON_BYTES: Final = 8 * 2**20
"""JSON is read on the event loop: 32 radiographs as lists fit, a file of many megabytes goes as binary."""


def _field(of: Mapping[str, Any], key: str, kind: type, where: str) -> Any:
    value = of.get(key)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise InvalidRequest(f"{where} needs {key!r}")
    return value


def _parameters(of: Mapping[str, Any], where: str) -> dict[str, Any]:
    value = of.get("parameters")
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidRequest(f"'parameters' of {where} must be an object")
    return value


def _listed_data(item: Mapping[str, Any], where: str) -> list[Any]:
    if "data" not in item:
        raise InvalidRequest(f"{where} needs 'data'")
    data = item["data"]
    if not isinstance(data, list):
        raise InvalidRequest(f"'data' of {where} must be a list")
    return data


def _flag(parameters: Mapping[str, Any], key: str, where: str) -> None:
    if not isinstance(parameters.get(key), bool | None):
        raise InvalidRequest(f"{key!r} of {where} must be a boolean")


def _read_input(item: Any, binary: memoryview) -> tuple[InferInput, int]:
    if not isinstance(item, dict):
        raise InvalidRequest("each input must be an object")
    name = _field(item, "name", str, "an input")
    where = quote_name(name)
    shape = _field(item, "shape", list, where)
    if not all(type(size) is int for size in shape):
        raise InvalidRequest(f"'shape' of {where} must hold integers")
    parameters = _parameters(item, where)
    size = parameters.get("binary_data_size")
    datatype = _field(item, "datatype", str, where)
    require_datatype(name, datatype)
    infer_input = InferInput(name, shape, datatype, parameters=parameters)
    if size is None:
        infer_input.data = _listed_data(item, where)
        return infer_input, 0
    if item.get("data") is not None:
        raise InvalidRequest(f"{where} has both 'data' and 'binary_data_size'")
    if type(size) is not int or not 0 <= size <= len(binary):
        raise InvalidRequest(f"'binary_data_size' of {where} does not fit the body")
    infer_input._raw_data = binary[:size]
    return infer_input, size


def _read_requested(document: Mapping[str, Any]) -> list[RequestedOutput] | None:
    outputs = document.get("outputs")
    if outputs is None:
        return None
    if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
        raise InvalidRequest("'outputs' must be a list of objects")
    names = [_field(output, "name", str, "a requested output") for output in outputs]
    parameters = [_parameters(output, "a requested output") for output in outputs]
    for each in parameters:
        _flag(each, "binary_data", "a requested output")
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
        body: JSON, with the binary tensors behind it where ``json_length`` says so.
        json_length: Value of ``inference-header-content-length``; None where the header is absent.
        model: Model name of the path.
        version: Model version of the path, if any.

    Returns:
        The request; ``id`` may be None; inputs keep their raw bytes or JSON lists (see ``array_of``).

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
    inputs, binary = [], view[length:]
    for item in _field(document, "inputs", list, "the request"):
        infer_input, taken = _read_input(item, binary)
        inputs.append(infer_input)
        binary = binary[taken:]
    if binary:
        raise InvalidRequest("the body is longer than its inputs")
    request_id = document.get("id")
    if not isinstance(request_id, str | None):
        raise InvalidRequest("'id' must be a string")
    parameters = _parameters(document, "the request")
    _flag(parameters, "binary_data_output", "the request")
    return InferRequest(
        model,
        inputs,
        request_id=request_id,
        parameters=parameters,
        request_outputs=_read_requested(document),
        model_version=version,
    )


def requested_names(
    request: InferRequest, known: Sequence[TensorSpec], default: Sequence[str]
) -> tuple[str, ...]:
    """Name the outputs to answer with.

    Raises:
        InvalidRequest: An output is asked for that the model has not, or twice.
    """
    if not request.request_outputs:
        return tuple(default)
    names = tuple(output.name for output in request.request_outputs)
    if not {spec.name for spec in known}.issuperset(names):
        raise InvalidRequest("the model has no output of that name")
    if len(set(names)) < len(names):
        raise InvalidRequest("an output is requested twice")
    return names


def to_response(
    request: InferRequest,
    version: str,
    outputs: Mapping[str, Array],
    parameters: Mapping[str, str | bool | int] | None = None,
) -> InferResponse:
    """Make the answer to a request from arrays, in their order; datatypes follow from the arrays."""
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


def _listed(array: Array) -> Any:
    if array.dtype != np.object_:
        return np.ascontiguousarray(array).ravel()
    try:
        return [element.decode() for element in array.ravel()]
    except UnicodeDecodeError as error:
        raise InvalidRequest("an output is not UTF-8: ask for it with binary_data") from error


def _wants_binary(request: InferRequest) -> dict[str, bool]:
    by_default = bool((request.parameters or {}).get("binary_data_output", False))
    asked = {o.name: (o.parameters or {}).get("binary_data") for o in request.request_outputs or ()}
    return {"": by_default} | {n: by_default if b is None else bool(b) for n, b in asked.items()}


def write_response(response: InferResponse, request: InferRequest) -> tuple[bytes, int | None]:
    """Encode an answer for REST, binary where the request asks for it.

    Returns:
        The body, and the length of its JSON part where binary tensors follow, else None.
    """
    wanted, described, binary = _wants_binary(request), [], []
    for output in response.outputs:
        item: dict[str, Any] = {
            "name": output.name,
            "datatype": output.datatype,
            "shape": output.shape,
        }
        if wanted.get(output.name, wanted[""]):
            raw = raw_of(output.data)
            item["parameters"] = {"binary_data_size": len(raw)}
            binary.append(raw)
        else:
            item["data"] = _listed(output.data)
        described.append(item)
    document = {
        "id": response.id,
        "model_name": response.model_name,
        "model_version": response.model_version,
        "outputs": described,
    }
    if response.parameters:
        document["parameters"] = response.parameters
    json = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    return (json + b"".join(binary), len(json)) if binary else (json, None)
