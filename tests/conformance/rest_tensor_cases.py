"""REST inference requests with binary tensors, inputs and deadlines."""

import json
from typing import Any

from tests.conformance.rest_request import (
    GOOD,
    JSON_LENGTH,
    NOT_JSON,
    RAW,
    RestRequest,
    encode_document,
    encode_input,
    encode_json,
    make_input,
)


def _build_binary(raw: bytes = RAW, size: Any = 10, length: str | None = None, **more: Any) -> dict[str, Any]:
    head = encode_document(make_input(data=..., parameters={"binary_data_size": size}), **more)
    return {"body": head + raw, "headers": ((JSON_LENGTH, str(len(head)) if length is None else length),)}


_NO_SIZE = "'binary_data_size' of input 'image_id' does not fit the body"
_NO_LENGTH = f"'{JSON_LENGTH}' does not fit the body"
_NO_NUMBER = f"'{JSON_LENGTH}' must be a number"
_BINARY = (
    RestRequest("binary", **_build_binary()),
    RestRequest(
        "binary-size-missing", **_build_binary(size=None), status=400, error="input 'image_id' needs 'data'"
    ),
    RestRequest("binary-size-negative", **_build_binary(size=-1), status=400, error=_NO_SIZE),
    RestRequest("binary-size-huge", **_build_binary(size=2**62), status=400, error=_NO_SIZE),
    RestRequest("binary-size-beyond-64-bits", **_build_binary(size=2**70), status=400, error=_NO_SIZE),
    RestRequest("binary-size-a-float", **_build_binary(size=10.0), status=400, error=_NO_SIZE),
    RestRequest("binary-size-a-boolean", **_build_binary(size=True), status=400, error=_NO_SIZE),
    RestRequest("binary-size-a-text", **_build_binary(size="10"), status=400, error=_NO_SIZE),
    RestRequest(
        "binary-size-zero", **_build_binary(size=0), status=400, error="the body is longer than its inputs"
    ),
    RestRequest(
        "binary-size-short", **_build_binary(size=9), status=400, error="the body is longer than its inputs"
    ),
    RestRequest("binary-size-long", **_build_binary(size=11), status=400, error=_NO_SIZE),
    RestRequest(
        "binary-trailing-bytes",
        **_build_binary(RAW + b"x"),
        status=400,
        error="the body is longer than its inputs",
    ),
    RestRequest(
        "element-cut-short",
        **_build_binary(RAW[:-1], 9),
        status=400,
        error="a BYTES tensor ends within an element",
    ),
    RestRequest(
        "length-cut-short",
        **_build_binary(RAW[:3], 3),
        status=400,
        error="a BYTES tensor ends within a length",
    ),
    RestRequest(
        "element-of-4-GB",
        **_build_binary(b"\xff\xff\xff\xff", 4),
        status=400,
        error="a BYTES tensor ends within an element",
    ),
    RestRequest(
        "more-elements-than-the-shape",
        **_build_binary(RAW * 2, 20),
        status=400,
        error="a BYTES tensor has more elements than its shape says",
    ),
    RestRequest(
        "data-and-binary",
        encode_input(parameters={"binary_data_size": 10}) + RAW,
        400,
        "input 'image_id' has both 'data' and 'binary_data_size'",
        headers=((JSON_LENGTH, str(len(encode_input(parameters={"binary_data_size": 10})))),),
    ),
    RestRequest("header-length-of-all", GOOD, headers=((JSON_LENGTH, str(len(GOOD))),)),
    RestRequest("header-length-missing", _build_binary()["body"], 400, NOT_JSON),
    RestRequest("header-length-zero", **_build_binary(length="0"), status=400, error=_NO_LENGTH),
    RestRequest("header-length-too-large", **_build_binary(length="99999"), status=400, error=_NO_LENGTH),
    RestRequest("header-length-too-small", **_build_binary(length="20"), status=400, error=NOT_JSON),
    RestRequest("header-length-negative", **_build_binary(length="-1"), status=400, error=_NO_NUMBER),
    RestRequest("header-length-a-float", **_build_binary(length="12.0"), status=400, error=_NO_NUMBER),
    RestRequest("header-length-a-text", **_build_binary(length="ten"), status=400, error=_NO_NUMBER),
    RestRequest("header-length-empty", **_build_binary(length=""), status=400, error=_NO_NUMBER),
    RestRequest(
        "header-length-of-100-digits", **_build_binary(length="9" * 100), status=400, error=_NO_NUMBER
    ),
    RestRequest("header-length-with-sign", **_build_binary(length="+10"), status=400, error=_NO_NUMBER),
    RestRequest(
        "header-length-in-another-script", **_build_binary(length="\u00b2"), status=400, error=_NO_NUMBER
    ),
)
_ELEMENTS = "BYTES elements must be strings; send files as binary data, not as base64"
_SHAPE = "'shape' of input 'image_id' must hold integers"
_TENSORS = (
    RestRequest("nested-data", encode_input(data=[["r0.png"]])),
    RestRequest("deeply-nested-data", encode_input(data=json.loads("[" * 500 + '"r0.png"' + "]" * 500))),
    RestRequest("input-parameters-null", encode_input(parameters=None)),
    RestRequest("inputs-missing", b"{}", 400, "the request needs 'inputs'"),
    RestRequest("inputs-null", encode_json({"inputs": None}), 400, "the request needs 'inputs'"),
    RestRequest("inputs-an-object", encode_json({"inputs": {}}), 400, "the request needs 'inputs'"),
    RestRequest("input-a-text", encode_json({"inputs": ["a"]}), 400, "each input must be an object"),
    RestRequest("input-null", encode_json({"inputs": [None]}), 400, "each input must be an object"),
    RestRequest("name-missing", encode_input(name=...), 400, "an input needs 'name'"),
    RestRequest("shape-missing", encode_input(shape=...), 400, "input 'image_id' needs 'shape'"),
    RestRequest("datatype-missing", encode_input(datatype=...), 400, "input 'image_id' needs 'datatype'"),
    RestRequest("data-missing", encode_input(data=...), 400, "input 'image_id' needs 'data'"),
    RestRequest("shape-a-number", encode_input(shape=1), 400, "input 'image_id' needs 'shape'"),
    RestRequest("shape-of-floats", encode_input(shape=[1.0]), 400, _SHAPE),
    RestRequest("shape-of-booleans", encode_input(shape=[True]), 400, _SHAPE),
    RestRequest("shape-of-texts", encode_input(shape=["1"]), 400, _SHAPE),
    RestRequest("shape-of-null", encode_input(shape=[None]), 400, _SHAPE),
    RestRequest("shape-beyond-64-bits", encode_input(shape=[2**64]), 400, _SHAPE),
    RestRequest("shape-empty", encode_input(shape=[]), 400, "input 'image_id' must have the shape [N]"),
    RestRequest("datatype-a-number", encode_input(datatype=1), 400, "input 'image_id' needs 'datatype'"),
    RestRequest("data-null", encode_input(data=None), 400, "'data' of input 'image_id' must be a list"),
    RestRequest("data-a-text", encode_input(data="r0.png"), 400, "'data' of input 'image_id' must be a list"),
    RestRequest("data-an-object", encode_input(data={}), 400, "'data' of input 'image_id' must be a list"),
    RestRequest("element-a-number", encode_input(data=[1]), 400, _ELEMENTS),
    RestRequest("element-null", encode_input(data=[None]), 400, _ELEMENTS),
    RestRequest("element-an-object", encode_input(data=[{}]), 400, _ELEMENTS),
    RestRequest(
        "more-data-than-the-shape",
        encode_input(data=["r0.png"] * 3),
        400,
        "a tensor has more elements than its shape says",
    ),
    RestRequest(
        "less-data-than-the-shape",
        encode_input(shape=[3]),
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
CASES = (*_BINARY, *_TENSORS, *_DEADLINES)
