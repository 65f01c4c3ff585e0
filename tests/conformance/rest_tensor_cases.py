"""REST inference to the byte: ids, outputs, binary tensors, inputs, deadlines."""

import json
from collections.abc import Callable
from typing import Any

from tests.conformance.hops import HttpAnswer
from tests.conformance.rest_request import (
    GOOD,
    JSON_LENGTH,
    NOT_JSON,
    RAW,
    RestRequest,
    document,
    input_of,
    json_of,
)


def _binary(raw: bytes = RAW, size: Any = 10, length: str | None = None, **more: Any) -> dict[str, Any]:
    head = json_of(document(input_of(data=..., parameters={"binary_data_size": size}), **more))
    return {"body": head + raw, "headers": ((JSON_LENGTH, str(len(head)) if length is None else length),)}


def _outputs(*outputs: Any, **more: Any) -> dict[str, Any]:
    return {"body": json_of(document(outputs=list(outputs), **more))}


def _is_id(expected: str) -> Callable[[HttpAnswer], bool]:
    return lambda answer: bool(answer.document["id"] == expected)


def _binaries(**expected: bool) -> Callable[[HttpAnswer], bool]:
    def check(answer: HttpAnswer) -> bool:
        found = {output["name"]: "data" not in output for output in answer.document["outputs"]}
        sizes = [
            output["parameters"]["binary_data_size"]
            for output in answer.document["outputs"]
            if "data" not in output
        ]
        json_length = int(answer.headers.get(JSON_LENGTH, len(answer.body)))
        kind = "application/octet-stream" if any(expected.values()) else "application/json"
        is_whole = json_length + sum(sizes) == len(answer.body)
        return found == expected and is_whole and answer.headers["content-type"] == kind

    return check


def _same_id_everywhere(answer: HttpAnswer) -> bool:
    in_header = answer.headers.get("x-request-id")
    return len(answer.document["id"]) == 36 and in_header in (None, answer.document["id"])


_IDS = (
    RestRequest("id-missing", GOOD, check=_same_id_everywhere),
    RestRequest("id-null", json_of(document(id=None)), check=_same_id_everywhere),
    RestRequest("id-empty", json_of(document(id="")), check=_same_id_everywhere),
    RestRequest("id-of-header", GOOD, headers=(("x-request-id", "h-1"),), check=_is_id("h-1")),
    RestRequest(
        "id-of-body-before-header",
        json_of(document(id="b-1")),
        headers=(("x-request-id", "h-1"),),
        check=_is_id("b-1"),
    ),
    RestRequest("id-number", json_of(document(id=7)), 400, "'id' must be a string"),
    RestRequest("id-boolean", json_of(document(id=True)), 400, "'id' must be a string"),
    RestRequest("id-list", json_of(document(id=["a"])), 400, "'id' must be a string"),
    RestRequest(
        "id-with-nul",
        json_of(document(id="a\x00")),
        400,
        "the request id must be 1 to 256 printable characters",
    ),
    RestRequest(
        "odd-id-in-header",
        GOOD,
        400,
        "x-request-id must be 1 to 128 letters, digits and any of . _ : -",
        headers=(("x-request-id", "a b"),),
        hops=("proxy",),
    ),
)
_P, _T = {"name": "probability"}, {"name": "threshold"}
_AS_BINARY, _AS_JSON = {"parameters": {"binary_data": True}}, {"parameters": {"binary_data": False}}
_OUTPUTS = (
    RestRequest(
        "outputs-empty",
        **_outputs(),
        check=_binaries(probability=False, present=False, typicality=False, threshold=False),
    ),
    RestRequest("outputs-null", json_of(document(outputs=None))),
    RestRequest("output-binary", **_outputs(_P | _AS_BINARY), check=_binaries(probability=True)),
    RestRequest("output-json", **_outputs(_P | _AS_JSON), check=_binaries(probability=False)),
    RestRequest(
        "one-output-binary",
        **_outputs(_P | _AS_BINARY, _T),
        check=_binaries(probability=True, threshold=False),
    ),
    RestRequest(
        "all-outputs-binary",
        **_outputs(_P, _T, parameters={"binary_data_output": True}),
        check=_binaries(probability=True, threshold=True),
    ),
    RestRequest(
        "all-outputs-binary-but-one",
        **_outputs(_P | _AS_JSON, _T, parameters={"binary_data_output": True}),
        check=_binaries(probability=False, threshold=True),
    ),
    RestRequest(
        "default-outputs-binary",
        json_of(document(parameters={"binary_data_output": True})),
        check=_binaries(probability=True, present=True, typicality=True, threshold=True),
    ),
    RestRequest(
        "output-parameters-null", **_outputs({**_P, "parameters": None}), check=_binaries(probability=False)
    ),
    RestRequest("output-unknown-parameter", **_outputs({**_P, "parameters": {"classification": 3}})),
    RestRequest(
        "outputs-an-object", json_of(document(outputs={})), 400, "'outputs' must be a list of objects"
    ),
    RestRequest("outputs-a-text", json_of(document(outputs="")), 400, "'outputs' must be a list of objects"),
    RestRequest("outputs-a-number", json_of(document(outputs=0)), 400, "'outputs' must be a list of objects"),
    RestRequest(
        "outputs-false", json_of(document(outputs=False)), 400, "'outputs' must be a list of objects"
    ),
    RestRequest(
        "outputs-of-texts", **_outputs("probability"), status=400, error="'outputs' must be a list of objects"
    ),
    RestRequest("output-without-name", **_outputs({}), status=400, error="a requested output needs 'name'"),
    RestRequest(
        "output-name-a-number", **_outputs({"name": 1}), status=400, error="a requested output needs 'name'"
    ),
    RestRequest(
        "output-parameters-a-list",
        **_outputs({**_P, "parameters": []}),
        status=400,
        error="'parameters' of a requested output must be an object",
    ),
    RestRequest(
        "binary-data-a-text",
        **_outputs({**_P, "parameters": {"binary_data": "false"}}),
        status=400,
        error="'binary_data' of a requested output must be a boolean",
    ),
    RestRequest(
        "binary-data-a-number",
        **_outputs({**_P, "parameters": {"binary_data": 1}}),
        status=400,
        error="'binary_data' of a requested output must be a boolean",
    ),
    RestRequest(
        "binary-data-output-a-text",
        json_of(document(parameters={"binary_data_output": "no"})),
        400,
        "'binary_data_output' of the request must be a boolean",
    ),
    RestRequest(
        "parameters-a-list",
        json_of(document(parameters=[])),
        400,
        "'parameters' of the request must be an object",
    ),
    RestRequest("parameters-null", json_of(document(parameters=None))),
)
_NO_SIZE = "'binary_data_size' of input 'image_id' does not fit the body"
_NO_LENGTH = f"'{JSON_LENGTH}' does not fit the body"
_NO_NUMBER = f"'{JSON_LENGTH}' must be a number"
_BINARY = (
    RestRequest("binary", **_binary()),
    RestRequest(
        "binary-size-missing", **_binary(size=None), status=400, error="input 'image_id' needs 'data'"
    ),
    RestRequest("binary-size-negative", **_binary(size=-1), status=400, error=_NO_SIZE),
    RestRequest("binary-size-huge", **_binary(size=2**62), status=400, error=_NO_SIZE),
    RestRequest("binary-size-beyond-64-bits", **_binary(size=2**70), status=400, error=_NO_SIZE),
    RestRequest("binary-size-a-float", **_binary(size=10.0), status=400, error=_NO_SIZE),
    RestRequest("binary-size-a-boolean", **_binary(size=True), status=400, error=_NO_SIZE),
    RestRequest("binary-size-a-text", **_binary(size="10"), status=400, error=_NO_SIZE),
    RestRequest(
        "binary-size-zero", **_binary(size=0), status=400, error="the body is longer than its inputs"
    ),
    RestRequest(
        "binary-size-short", **_binary(size=9), status=400, error="the body is longer than its inputs"
    ),
    RestRequest("binary-size-long", **_binary(size=11), status=400, error=_NO_SIZE),
    RestRequest(
        "binary-trailing-bytes",
        **_binary(RAW + b"x"),
        status=400,
        error="the body is longer than its inputs",
    ),
    RestRequest(
        "element-cut-short",
        **_binary(RAW[:-1], 9),
        status=400,
        error="a BYTES tensor ends within an element",
    ),
    RestRequest(
        "length-cut-short", **_binary(RAW[:3], 3), status=400, error="a BYTES tensor ends within a length"
    ),
    RestRequest(
        "element-of-4-GB",
        **_binary(b"\xff\xff\xff\xff", 4),
        status=400,
        error="a BYTES tensor ends within an element",
    ),
    RestRequest(
        "more-elements-than-the-shape",
        **_binary(RAW * 2, 20),
        status=400,
        error="a BYTES tensor has more elements than its shape says",
    ),
    RestRequest(
        "data-and-binary",
        json_of(document(input_of(parameters={"binary_data_size": 10}))) + RAW,
        400,
        "input 'image_id' has both 'data' and 'binary_data_size'",
        headers=((JSON_LENGTH, str(len(json_of(document(input_of(parameters={"binary_data_size": 10})))))),),
    ),
    RestRequest("header-length-of-all", GOOD, headers=((JSON_LENGTH, str(len(GOOD))),)),
    RestRequest("header-length-missing", _binary()["body"], 400, NOT_JSON),
    RestRequest("header-length-zero", **_binary(length="0"), status=400, error=_NO_LENGTH),
    RestRequest("header-length-too-large", **_binary(length="99999"), status=400, error=_NO_LENGTH),
    RestRequest("header-length-too-small", **_binary(length="20"), status=400, error=NOT_JSON),
    RestRequest("header-length-negative", **_binary(length="-1"), status=400, error=_NO_NUMBER),
    RestRequest("header-length-a-float", **_binary(length="12.0"), status=400, error=_NO_NUMBER),
    RestRequest("header-length-a-text", **_binary(length="ten"), status=400, error=_NO_NUMBER),
    RestRequest("header-length-empty", **_binary(length=""), status=400, error=_NO_NUMBER),
    RestRequest("header-length-of-100-digits", **_binary(length="9" * 100), status=400, error=_NO_NUMBER),
    RestRequest("header-length-with-sign", **_binary(length="+10"), status=400, error=_NO_NUMBER),
    RestRequest("header-length-in-another-script", **_binary(length="\u00b2"), status=400, error=_NO_NUMBER),
)
_ELEMENTS = "BYTES elements must be strings"
_SHAPE = "'shape' of input 'image_id' must hold integers"
_TENSORS = (
    RestRequest("nested-data", json_of(document(input_of(data=[["r0.png"]])))),
    RestRequest(
        "deeply-nested-data", json_of(document(input_of(data=json.loads("[" * 500 + '"r0.png"' + "]" * 500))))
    ),
    RestRequest("input-parameters-null", json_of(document(input_of(parameters=None)))),
    RestRequest("inputs-missing", b"{}", 400, "the request needs 'inputs'"),
    RestRequest("inputs-null", json_of({"inputs": None}), 400, "the request needs 'inputs'"),
    RestRequest("inputs-an-object", json_of({"inputs": {}}), 400, "the request needs 'inputs'"),
    RestRequest("input-a-text", json_of({"inputs": ["a"]}), 400, "each input must be an object"),
    RestRequest("input-null", json_of({"inputs": [None]}), 400, "each input must be an object"),
    RestRequest("name-missing", json_of(document(input_of(name=...))), 400, "an input needs 'name'"),
    RestRequest(
        "shape-missing", json_of(document(input_of(shape=...))), 400, "input 'image_id' needs 'shape'"
    ),
    RestRequest(
        "datatype-missing",
        json_of(document(input_of(datatype=...))),
        400,
        "input 'image_id' needs 'datatype'",
    ),
    RestRequest("data-missing", json_of(document(input_of(data=...))), 400, "input 'image_id' needs 'data'"),
    RestRequest(
        "shape-a-number", json_of(document(input_of(shape=1))), 400, "input 'image_id' needs 'shape'"
    ),
    RestRequest("shape-of-floats", json_of(document(input_of(shape=[1.0]))), 400, _SHAPE),
    RestRequest("shape-of-booleans", json_of(document(input_of(shape=[True]))), 400, _SHAPE),
    RestRequest("shape-of-texts", json_of(document(input_of(shape=["1"]))), 400, _SHAPE),
    RestRequest("shape-of-null", json_of(document(input_of(shape=[None]))), 400, _SHAPE),
    RestRequest("shape-beyond-64-bits", json_of(document(input_of(shape=[2**64]))), 400, _SHAPE),
    RestRequest(
        "shape-empty", json_of(document(input_of(shape=[]))), 400, "input 'image_id' must have the shape [N]"
    ),
    RestRequest(
        "datatype-a-number", json_of(document(input_of(datatype=1))), 400, "input 'image_id' needs 'datatype'"
    ),
    RestRequest(
        "data-null", json_of(document(input_of(data=None))), 400, "'data' of input 'image_id' must be a list"
    ),
    RestRequest(
        "data-a-text",
        json_of(document(input_of(data="r0.png"))),
        400,
        "'data' of input 'image_id' must be a list",
    ),
    RestRequest(
        "data-an-object",
        json_of(document(input_of(data={}))),
        400,
        "'data' of input 'image_id' must be a list",
    ),
    RestRequest("element-a-number", json_of(document(input_of(data=[1]))), 400, _ELEMENTS),
    RestRequest("element-null", json_of(document(input_of(data=[None]))), 400, _ELEMENTS),
    RestRequest("element-an-object", json_of(document(input_of(data=[{}]))), 400, _ELEMENTS),
    RestRequest(
        "more-data-than-the-shape",
        json_of(document(input_of(data=["r0.png"] * 3))),
        400,
        "a tensor has more elements than its shape says",
    ),
    RestRequest(
        "less-data-than-the-shape",
        json_of(document(input_of(shape=[3]))),
        400,
        "input 'image_id' has 1 elements, its shape [3] says otherwise",
    ),
)
_DEADLINES = tuple(
    RestRequest(
        f"timeout-{text}",
        GOOD,
        400,
        "x-request-timeout-ms must be a positive number of milliseconds",
        headers=(("x-request-timeout-ms", text),),
    )
    for text in ("0", "-1", "1.5", "soon", "")
)
CASES = (*_IDS, *_OUTPUTS, *_BINARY, *_TENSORS, *_DEADLINES)
