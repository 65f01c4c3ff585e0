"""REST inference requests with their ids and requested outputs."""

from collections.abc import Callable
from typing import Any

from tests.conformance.rest_request import (
    GOOD,
    JSON_LENGTH,
    RestRequest,
    encode_document,
)
from tests.conformance.servers import HttpAnswer


def _build_outputs(*outputs: Any, **more: Any) -> dict[str, Any]:
    return {"body": encode_document(outputs=list(outputs), **more)}


def _has_id(expected: str) -> Callable[[HttpAnswer], bool]:
    return lambda answer: bool(answer.document["id"] == expected)


def _has_binary_outputs(**expected: bool) -> Callable[[HttpAnswer], bool]:
    def check(answer: HttpAnswer) -> bool:
        is_binary = {output["name"]: "data" not in output for output in answer.document["outputs"]}
        sizes = [
            output["parameters"]["binary_data_size"]
            for output in answer.document["outputs"]
            if "data" not in output
        ]
        json_length = int(answer.headers.get(JSON_LENGTH, len(answer.body)))
        kind = "application/octet-stream" if any(expected.values()) else "application/json"
        is_complete = json_length + sum(sizes) == len(answer.body)
        return is_binary == expected and is_complete and answer.headers["content-type"] == kind

    return check


def _has_one_new_id(answer: HttpAnswer) -> bool:
    in_header = answer.headers.get("x-request-id")
    return len(answer.document["id"]) == 36 and in_header in (None, answer.document["id"])


_IDS = (
    RestRequest("id-missing", GOOD, check=_has_one_new_id),
    RestRequest("id-null", encode_document(id=None), check=_has_one_new_id),
    RestRequest("id-empty", encode_document(id=""), check=_has_one_new_id),
    RestRequest("id-of-header", GOOD, headers=(("x-request-id", "h-1"),), check=_has_id("h-1")),
    RestRequest(
        "id-of-body-before-header",
        encode_document(id="b-1"),
        headers=(("x-request-id", "h-1"),),
        check=_has_id("b-1"),
    ),
    RestRequest("id-number", encode_document(id=7), 400, "'id' must be a string"),
    RestRequest("id-boolean", encode_document(id=True), 400, "'id' must be a string"),
    RestRequest("id-list", encode_document(id=["a"]), 400, "'id' must be a string"),
    RestRequest(
        "id-with-nul",
        encode_document(id="a\x00"),
        400,
        "the request id must be 1 to 256 printable characters",
    ),
    RestRequest(
        "odd-id-in-header",
        GOOD,
        400,
        "x-request-id must be 1 to 128 letters, digits and any of . _ : -",
        headers=(("x-request-id", "a b"),),
        servers=("proxy",),
    ),
)
_P, _T = {"name": "probability"}, {"name": "threshold"}
_AS_BINARY, _AS_JSON = {"parameters": {"binary_data": True}}, {"parameters": {"binary_data": False}}
_OUTPUTS = (
    RestRequest(
        "outputs-empty",
        **_build_outputs(),
        check=_has_binary_outputs(probability=False, present=False, typicality=False, threshold=False),
    ),
    RestRequest("outputs-null", encode_document(outputs=None)),
    RestRequest(
        "output-binary", **_build_outputs(_P | _AS_BINARY), check=_has_binary_outputs(probability=True)
    ),
    RestRequest("output-json", **_build_outputs(_P | _AS_JSON), check=_has_binary_outputs(probability=False)),
    RestRequest(
        "one-output-binary",
        **_build_outputs(_P | _AS_BINARY, _T),
        check=_has_binary_outputs(probability=True, threshold=False),
    ),
    RestRequest(
        "all-outputs-binary",
        **_build_outputs(_P, _T, parameters={"binary_data_output": True}),
        check=_has_binary_outputs(probability=True, threshold=True),
    ),
    RestRequest(
        "all-outputs-binary-but-one",
        **_build_outputs(_P | _AS_JSON, _T, parameters={"binary_data_output": True}),
        check=_has_binary_outputs(probability=False, threshold=True),
    ),
    RestRequest(
        "default-outputs-binary",
        encode_document(parameters={"binary_data_output": True}),
        check=_has_binary_outputs(probability=True, present=True, typicality=True, threshold=True),
    ),
    RestRequest(
        "output-parameters-null",
        **_build_outputs({**_P, "parameters": None}),
        check=_has_binary_outputs(probability=False),
    ),
    RestRequest("output-unknown-parameter", **_build_outputs({**_P, "parameters": {"classification": 3}})),
    RestRequest("outputs-an-object", encode_document(outputs={}), 400, "'outputs' must be a list of objects"),
    RestRequest("outputs-a-text", encode_document(outputs=""), 400, "'outputs' must be a list of objects"),
    RestRequest("outputs-a-number", encode_document(outputs=0), 400, "'outputs' must be a list of objects"),
    RestRequest("outputs-false", encode_document(outputs=False), 400, "'outputs' must be a list of objects"),
    RestRequest(
        "outputs-of-texts",
        **_build_outputs("probability"),
        status=400,
        error="'outputs' must be a list of objects",
    ),
    RestRequest(
        "output-without-name", **_build_outputs({}), status=400, error="a requested output needs 'name'"
    ),
    RestRequest(
        "output-name-a-number",
        **_build_outputs({"name": 1}),
        status=400,
        error="a requested output needs 'name'",
    ),
    RestRequest(
        "output-parameters-a-list",
        **_build_outputs({**_P, "parameters": []}),
        status=400,
        error="'parameters' of a requested output must be an object",
    ),
    RestRequest(
        "binary-data-a-text",
        **_build_outputs({**_P, "parameters": {"binary_data": "false"}}),
        status=400,
        error="'binary_data' of a requested output must be a boolean",
    ),
    RestRequest(
        "binary-data-a-number",
        **_build_outputs({**_P, "parameters": {"binary_data": 1}}),
        status=400,
        error="'binary_data' of a requested output must be a boolean",
    ),
    RestRequest(
        "binary-data-output-a-text",
        encode_document(parameters={"binary_data_output": "no"}),
        400,
        "'binary_data_output' of the request must be a boolean",
    ),
    RestRequest(
        "parameters-a-list",
        encode_document(parameters=[]),
        400,
        "'parameters' of the request must be an object",
    ),
    RestRequest("parameters-null", encode_document(parameters=None)),
)
CASES = (*_IDS, *_OUTPUTS)
