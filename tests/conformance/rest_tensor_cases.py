"""REST inference to the byte: ids, outputs, binary tensors, inputs, deadlines."""

import json
from collections.abc import Callable
from typing import Any

from tests.conformance.hops import HttpAnswer
from tests.conformance.rest_request import GOOD, JSON_LENGTH, NOT_JSON, RAW, Rest, document, input_of, json_of


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
    Rest("id-missing", GOOD, check=_same_id_everywhere),
    Rest("id-null", json_of(document(id=None)), check=_same_id_everywhere),
    Rest("id-empty", json_of(document(id="")), check=_same_id_everywhere),
    Rest("id-of-header", GOOD, headers=(("x-request-id", "h-1"),), check=_is_id("h-1")),
    Rest(
        "id-of-body-before-header",
        json_of(document(id="b-1")),
        headers=(("x-request-id", "h-1"),),
        check=_is_id("b-1"),
    ),
    Rest("id-number", json_of(document(id=7)), 400, "'id' must be a string"),
    Rest("id-boolean", json_of(document(id=True)), 400, "'id' must be a string"),
    Rest("id-list", json_of(document(id=["a"])), 400, "'id' must be a string"),
    Rest(
        "id-with-nul",
        json_of(document(id="a\x00")),
        400,
        "the request id must be 1 to 256 printable characters",
    ),
    Rest(
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
    Rest(
        "outputs-empty",
        **_outputs(),
        check=_binaries(probability=False, present=False, typicality=False, threshold=False),
    ),
    Rest("outputs-null", json_of(document(outputs=None))),
    Rest("output-binary", **_outputs(_P | _AS_BINARY), check=_binaries(probability=True)),
    Rest("output-json", **_outputs(_P | _AS_JSON), check=_binaries(probability=False)),
    Rest(
        "one-output-binary",
        **_outputs(_P | _AS_BINARY, _T),
        check=_binaries(probability=True, threshold=False),
    ),
    Rest(
        "all-outputs-binary",
        **_outputs(_P, _T, parameters={"binary_data_output": True}),
        check=_binaries(probability=True, threshold=True),
    ),
    Rest(
        "all-outputs-binary-but-one",
        **_outputs(_P | _AS_JSON, _T, parameters={"binary_data_output": True}),
        check=_binaries(probability=False, threshold=True),
    ),
    Rest(
        "default-outputs-binary",
        json_of(document(parameters={"binary_data_output": True})),
        check=_binaries(probability=True, present=True, typicality=True, threshold=True),
    ),
    Rest(
        "output-parameters-null", **_outputs({**_P, "parameters": None}), check=_binaries(probability=False)
    ),
    Rest("output-unknown-parameter", **_outputs({**_P, "parameters": {"classification": 3}})),
    Rest("outputs-an-object", json_of(document(outputs={})), 400, "'outputs' must be a list of objects"),
    Rest("outputs-a-text", json_of(document(outputs="")), 400, "'outputs' must be a list of objects"),
    Rest("outputs-a-number", json_of(document(outputs=0)), 400, "'outputs' must be a list of objects"),
    Rest("outputs-false", json_of(document(outputs=False)), 400, "'outputs' must be a list of objects"),
    Rest(
        "outputs-of-texts", **_outputs("probability"), status=400, error="'outputs' must be a list of objects"
    ),
    Rest("output-without-name", **_outputs({}), status=400, error="a requested output needs 'name'"),
    Rest(
        "output-name-a-number", **_outputs({"name": 1}), status=400, error="a requested output needs 'name'"
    ),
    Rest(
        "output-parameters-a-list",
        **_outputs({**_P, "parameters": []}),
        status=400,
        error="'parameters' of a requested output must be an object",
    ),
    Rest(
        "binary-data-a-text",
        **_outputs({**_P, "parameters": {"binary_data": "false"}}),
        status=400,
        error="'binary_data' of a requested output must be a boolean",
    ),
    Rest(
        "binary-data-a-number",
        **_outputs({**_P, "parameters": {"binary_data": 1}}),
        status=400,
        error="'binary_data' of a requested output must be a boolean",
    ),
    Rest(
        "binary-data-output-a-text",
        json_of(document(parameters={"binary_data_output": "no"})),
        400,
        "'binary_data_output' of the request must be a boolean",
    ),
    Rest(
        "parameters-a-list",
        json_of(document(parameters=[])),
        400,
        "'parameters' of the request must be an object",
    ),
    Rest("parameters-null", json_of(document(parameters=None))),
)
_NO_SIZE = "'binary_data_size' of input 'image_id' does not fit the body"
_NO_LENGTH = f"'{JSON_LENGTH}' does not fit the body"
_NO_NUMBER = f"'{JSON_LENGTH}' must be a number"
_BINARY = (
    Rest("binary", **_binary()),
    Rest("binary-size-missing", **_binary(size=None), status=400, error="input 'image_id' needs 'data'"),
    Rest("binary-size-negative", **_binary(size=-1), status=400, error=_NO_SIZE),
    Rest("binary-size-huge", **_binary(size=2**62), status=400, error=_NO_SIZE),
    Rest("binary-size-beyond-64-bits", **_binary(size=2**70), status=400, error=_NO_SIZE),
    Rest("binary-size-a-float", **_binary(size=10.0), status=400, error=_NO_SIZE),
    Rest("binary-size-a-boolean", **_binary(size=True), status=400, error=_NO_SIZE),
    Rest("binary-size-a-text", **_binary(size="10"), status=400, error=_NO_SIZE),
    Rest("binary-size-zero", **_binary(size=0), status=400, error="the body is longer than its inputs"),
    Rest("binary-size-short", **_binary(size=9), status=400, error="the body is longer than its inputs"),
    Rest("binary-size-long", **_binary(size=11), status=400, error=_NO_SIZE),
    Rest(
        "binary-trailing-bytes",
        **_binary(RAW + b"x"),
        status=400,
        error="the body is longer than its inputs",
    ),
    Rest(
        "element-cut-short",
        **_binary(RAW[:-1], 9),
        status=400,
        error="a BYTES tensor ends within an element",
    ),
    Rest("length-cut-short", **_binary(RAW[:3], 3), status=400, error="a BYTES tensor ends within a length"),
    Rest(
        "element-of-4-GB",
        **_binary(b"\xff\xff\xff\xff", 4),
        status=400,
        error="a BYTES tensor ends within an element",
    ),
    Rest(
        "more-elements-than-the-shape",
        **_binary(RAW * 2, 20),
        status=400,
        error="a BYTES tensor has more elements than its shape says",
    ),
    Rest(
        "data-and-binary",
        json_of(document(input_of(parameters={"binary_data_size": 10}))) + RAW,
        400,
        "input 'image_id' has both 'data' and 'binary_data_size'",
        headers=((JSON_LENGTH, str(len(json_of(document(input_of(parameters={"binary_data_size": 10})))))),),
    ),
    Rest("header-length-of-all", GOOD, headers=((JSON_LENGTH, str(len(GOOD))),)),
    Rest("header-length-missing", _binary()["body"], 400, NOT_JSON),
    Rest("header-length-zero", **_binary(length="0"), status=400, error=_NO_LENGTH),
    Rest("header-length-too-large", **_binary(length="99999"), status=400, error=_NO_LENGTH),
    Rest("header-length-too-small", **_binary(length="20"), status=400, error=NOT_JSON),
    Rest("header-length-negative", **_binary(length="-1"), status=400, error=_NO_NUMBER),
    Rest("header-length-a-float", **_binary(length="12.0"), status=400, error=_NO_NUMBER),
    Rest("header-length-a-text", **_binary(length="ten"), status=400, error=_NO_NUMBER),
    Rest("header-length-empty", **_binary(length=""), status=400, error=_NO_NUMBER),
    Rest("header-length-of-100-digits", **_binary(length="9" * 100), status=400, error=_NO_NUMBER),
    Rest("header-length-with-sign", **_binary(length="+10"), status=400, error=_NO_NUMBER),
    Rest("header-length-in-another-script", **_binary(length="\u00b2"), status=400, error=_NO_NUMBER),
)
_ELEMENTS = "BYTES elements must be strings"
_SHAPE = "'shape' of input 'image_id' must hold integers"
_TENSORS = (
    Rest("nested-data", json_of(document(input_of(data=[["r0.png"]])))),
    Rest(
        "deeply-nested-data", json_of(document(input_of(data=json.loads("[" * 500 + '"r0.png"' + "]" * 500))))
    ),
    Rest("input-parameters-null", json_of(document(input_of(parameters=None)))),
    Rest("inputs-missing", b"{}", 400, "the request needs 'inputs'"),
    Rest("inputs-null", json_of({"inputs": None}), 400, "the request needs 'inputs'"),
    Rest("inputs-an-object", json_of({"inputs": {}}), 400, "the request needs 'inputs'"),
    Rest("input-a-text", json_of({"inputs": ["a"]}), 400, "each input must be an object"),
    Rest("input-null", json_of({"inputs": [None]}), 400, "each input must be an object"),
    Rest("name-missing", json_of(document(input_of(name=...))), 400, "an input needs 'name'"),
    Rest("shape-missing", json_of(document(input_of(shape=...))), 400, "input 'image_id' needs 'shape'"),
    Rest(
        "datatype-missing",
        json_of(document(input_of(datatype=...))),
        400,
        "input 'image_id' needs 'datatype'",
    ),
    Rest("data-missing", json_of(document(input_of(data=...))), 400, "input 'image_id' needs 'data'"),
    Rest("shape-a-number", json_of(document(input_of(shape=1))), 400, "input 'image_id' needs 'shape'"),
    Rest("shape-of-floats", json_of(document(input_of(shape=[1.0]))), 400, _SHAPE),
    Rest("shape-of-booleans", json_of(document(input_of(shape=[True]))), 400, _SHAPE),
    Rest("shape-of-texts", json_of(document(input_of(shape=["1"]))), 400, _SHAPE),
    Rest("shape-of-null", json_of(document(input_of(shape=[None]))), 400, _SHAPE),
    Rest("shape-beyond-64-bits", json_of(document(input_of(shape=[2**64]))), 400, _SHAPE),
    Rest(
        "shape-empty", json_of(document(input_of(shape=[]))), 400, "input 'image_id' must have the shape [N]"
    ),
    Rest(
        "datatype-a-number", json_of(document(input_of(datatype=1))), 400, "input 'image_id' needs 'datatype'"
    ),
    Rest(
        "data-null", json_of(document(input_of(data=None))), 400, "'data' of input 'image_id' must be a list"
    ),
    Rest(
        "data-a-text",
        json_of(document(input_of(data="r0.png"))),
        400,
        "'data' of input 'image_id' must be a list",
    ),
    Rest(
        "data-an-object",
        json_of(document(input_of(data={}))),
        400,
        "'data' of input 'image_id' must be a list",
    ),
    Rest("element-a-number", json_of(document(input_of(data=[1]))), 400, _ELEMENTS),
    Rest("element-null", json_of(document(input_of(data=[None]))), 400, _ELEMENTS),
    Rest("element-an-object", json_of(document(input_of(data=[{}]))), 400, _ELEMENTS),
    Rest(
        "more-data-than-the-shape",
        json_of(document(input_of(data=["r0.png"] * 3))),
        400,
        "a tensor has more elements than its shape says",
    ),
    Rest(
        "less-data-than-the-shape",
        json_of(document(input_of(shape=[3]))),
        400,
        "input 'image_id' has 1 elements, its shape [3] says otherwise",
    ),
)
_DEADLINES = tuple(
    Rest(
        f"timeout-{text}",
        GOOD,
        400,
        "x-request-timeout-ms must be a positive number of milliseconds",
        headers=(("x-request-timeout-ms", text),),
    )
    for text in ("0", "-1", "1.5", "soon", "")
)
CASES = (*_IDS, *_OUTPUTS, *_BINARY, *_TENSORS, *_DEADLINES)
