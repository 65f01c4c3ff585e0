"""REST to the byte: bodies, headers, verbs and paths that no client of the protocol would write."""

import gzip
import json
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.hops import HttpAnswer
from tests.conformance.question import MODEL

BOTH = ("proxy", "transformer")
INFER = f"/v2/models/{MODEL}/infer"
_JSON_LENGTH = "inference-header-content-length"
_NOT_JSON = "the body is not JSON"
_NO_PATH = "no such path"
_NO_VERB = "no such verb on that path"
_NO_MODEL = "no model of that name is served"
_NO_VERSION = "no such version of the model is served"
_TOO_LARGE = "the body exceeds 2097152 bytes"


@dataclass(frozen=True)
class Rest:
    """A request, and the status and whole error that it gets; ``check`` looks at what else there is."""

    name: str
    body: bytes | None = None
    status: int = 200
    error: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    verb: str = "POST"
    path: str = INFER
    hops: tuple[str, ...] = BOTH
    check: Callable[[HttpAnswer], object] = field(default=lambda answer: True)


def _input(**changes: Any) -> dict[str, Any]:
    tensor = {"name": "image_id", "datatype": "BYTES", "shape": [1], "data": ["r0.png"]} | changes
    return {name: value for name, value in tensor.items() if value is not ...}


def _document(tensor: Any = None, **more: Any) -> dict[str, Any]:
    return {"inputs": [_input() if tensor is None else tensor], **more}


def _json(document: Any) -> bytes:
    return json.dumps(document).encode()


_GOOD = _json(_document())
_RAW = struct.pack("<I", 6) + b"r0.png"


def _binary(raw: bytes = _RAW, size: Any = 10, length: str | None = None, **more: Any) -> dict[str, Any]:
    head = _json(_document(_input(data=..., parameters={"binary_data_size": size}), **more))
    return {"body": head + raw, "headers": ((_JSON_LENGTH, str(len(head)) if length is None else length),)}


def _outputs(*outputs: Any, **more: Any) -> dict[str, Any]:
    return {"body": _json(_document(outputs=list(outputs), **more))}


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
        json_length = int(answer.headers.get(_JSON_LENGTH, len(answer.body)))
        kind = "application/octet-stream" if any(expected.values()) else "application/json"
        is_whole = json_length + sum(sizes) == len(answer.body)
        return found == expected and is_whole and answer.headers["content-type"] == kind

    return check


def _same_id_everywhere(answer: HttpAnswer) -> bool:
    in_header = answer.headers.get("x-request-id")
    return len(answer.document["id"]) == 36 and in_header in (None, answer.document["id"])


_IDS = (
    Rest("id-missing", _GOOD, check=_same_id_everywhere),
    Rest("id-null", _json(_document(id=None)), check=_same_id_everywhere),
    Rest("id-empty", _json(_document(id="")), check=_same_id_everywhere),
    Rest("id-of-header", _GOOD, headers=(("x-request-id", "h-1"),), check=_is_id("h-1")),
    Rest(
        "id-of-body-before-header",
        _json(_document(id="b-1")),
        headers=(("x-request-id", "h-1"),),
        check=_is_id("b-1"),
    ),
    Rest("id-number", _json(_document(id=7)), 400, "'id' must be a string"),
    Rest("id-boolean", _json(_document(id=True)), 400, "'id' must be a string"),
    Rest("id-list", _json(_document(id=["a"])), 400, "'id' must be a string"),
    Rest(
        "id-with-nul",
        _json(_document(id="a\x00")),
        400,
        "the request id must be 1 to 256 printable characters",
    ),
    Rest(
        "odd-id-in-header",
        _GOOD,
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
    Rest("outputs-null", _json(_document(outputs=None))),
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
        _json(_document(parameters={"binary_data_output": True})),
        check=_binaries(probability=True, present=True, typicality=True, threshold=True),
    ),
    Rest(
        "output-parameters-null", **_outputs({**_P, "parameters": None}), check=_binaries(probability=False)
    ),
    Rest("output-unknown-parameter", **_outputs({**_P, "parameters": {"classification": 3}})),
    Rest("outputs-an-object", _json(_document(outputs={})), 400, "'outputs' must be a list of objects"),
    Rest("outputs-a-text", _json(_document(outputs="")), 400, "'outputs' must be a list of objects"),
    Rest("outputs-a-number", _json(_document(outputs=0)), 400, "'outputs' must be a list of objects"),
    Rest("outputs-false", _json(_document(outputs=False)), 400, "'outputs' must be a list of objects"),
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
        error="'parameters' of output 'probability' must be an object",
    ),
    Rest(
        "binary-data-a-text",
        **_outputs({**_P, "parameters": {"binary_data": "false"}}),
        status=400,
        error="'binary_data' of output 'probability' must be a boolean",
    ),
    Rest(
        "binary-data-a-number",
        **_outputs({**_P, "parameters": {"binary_data": 1}}),
        status=400,
        error="'binary_data' of output 'probability' must be a boolean",
    ),
    Rest(
        "binary-data-output-a-text",
        _json(_document(parameters={"binary_data_output": "no"})),
        400,
        "'binary_data_output' of the request must be a boolean",
    ),
    Rest(
        "parameters-a-list",
        _json(_document(parameters=[])),
        400,
        "'parameters' of the request must be an object",
    ),
    Rest("parameters-null", _json(_document(parameters=None))),
)
_NO_SIZE = "'binary_data_size' of input 'image_id' does not fit the body"
_NO_LENGTH = f"'{_JSON_LENGTH}' does not fit the body"
_NO_NUMBER = f"'{_JSON_LENGTH}' must be a number"
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
        **_binary(_RAW + b"x"),
        status=400,
        error="the body is longer than its inputs",
    ),
    Rest(
        "element-cut-short",
        **_binary(_RAW[:-1], 9),
        status=400,
        error="a BYTES tensor ends within an element",
    ),
    Rest("length-cut-short", **_binary(_RAW[:3], 3), status=400, error="a BYTES tensor ends within a length"),
    Rest(
        "element-of-4-GB",
        **_binary(b"\xff\xff\xff\xff", 4),
        status=400,
        error="a BYTES tensor ends within an element",
    ),
    Rest(
        "more-elements-than-the-shape",
        **_binary(_RAW * 2, 20),
        status=400,
        error="a BYTES tensor has more elements than its shape says",
    ),
    Rest(
        "data-and-binary",
        _json(_document(_input(parameters={"binary_data_size": 10}))) + _RAW,
        400,
        "input 'image_id' has both 'data' and 'binary_data_size'",
        headers=((_JSON_LENGTH, str(len(_json(_document(_input(parameters={"binary_data_size": 10})))))),),
    ),
    Rest("header-length-of-all", _GOOD, headers=((_JSON_LENGTH, str(len(_GOOD))),)),
    Rest("header-length-missing", _binary()["body"], 400, _NOT_JSON),
    Rest("header-length-zero", **_binary(length="0"), status=400, error=_NO_LENGTH),
    Rest("header-length-too-large", **_binary(length="99999"), status=400, error=_NO_LENGTH),
    Rest("header-length-too-small", **_binary(length="20"), status=400, error=_NOT_JSON),
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
    Rest("nested-data", _json(_document(_input(data=[["r0.png"]])))),
    Rest("deeply-nested-data", _json(_document(_input(data=json.loads("[" * 500 + '"r0.png"' + "]" * 500))))),
    Rest("input-parameters-null", _json(_document(_input(parameters=None)))),
    Rest("inputs-missing", b"{}", 400, "the request needs 'inputs'"),
    Rest("inputs-null", _json({"inputs": None}), 400, "the request needs 'inputs'"),
    Rest("inputs-an-object", _json({"inputs": {}}), 400, "the request needs 'inputs'"),
    Rest("input-a-text", _json({"inputs": ["a"]}), 400, "each input must be an object"),
    Rest("input-null", _json({"inputs": [None]}), 400, "each input must be an object"),
    Rest("name-missing", _json(_document(_input(name=...))), 400, "an input needs 'name'"),
    Rest("shape-missing", _json(_document(_input(shape=...))), 400, "input 'image_id' needs 'shape'"),
    Rest(
        "datatype-missing", _json(_document(_input(datatype=...))), 400, "input 'image_id' needs 'datatype'"
    ),
    Rest("data-missing", _json(_document(_input(data=...))), 400, "input 'image_id' needs 'data'"),
    Rest("shape-a-number", _json(_document(_input(shape=1))), 400, "input 'image_id' needs 'shape'"),
    Rest("shape-of-floats", _json(_document(_input(shape=[1.0]))), 400, _SHAPE),
    Rest("shape-of-booleans", _json(_document(_input(shape=[True]))), 400, _SHAPE),
    Rest("shape-of-texts", _json(_document(_input(shape=["1"]))), 400, _SHAPE),
    Rest("shape-of-null", _json(_document(_input(shape=[None]))), 400, _SHAPE),
    Rest("shape-beyond-64-bits", _json(_document(_input(shape=[2**64]))), 400, _SHAPE),
    Rest("shape-empty", _json(_document(_input(shape=[]))), 400, "input 'image_id' must have the shape [N]"),
    Rest("datatype-a-number", _json(_document(_input(datatype=1))), 400, "input 'image_id' needs 'datatype'"),
    Rest("data-null", _json(_document(_input(data=None))), 400, "'data' of input 'image_id' must be a list"),
    Rest(
        "data-a-text",
        _json(_document(_input(data="r0.png"))),
        400,
        "'data' of input 'image_id' must be a list",
    ),
    Rest(
        "data-an-object", _json(_document(_input(data={}))), 400, "'data' of input 'image_id' must be a list"
    ),
    Rest("element-a-number", _json(_document(_input(data=[1]))), 400, _ELEMENTS),
    Rest("element-null", _json(_document(_input(data=[None]))), 400, _ELEMENTS),
    Rest("element-an-object", _json(_document(_input(data=[{}]))), 400, _ELEMENTS),
    Rest(
        "more-data-than-the-shape",
        _json(_document(_input(data=["r0.png"] * 3))),
        400,
        "a tensor has more elements than its shape says",
    ),
    Rest(
        "less-data-than-the-shape",
        _json(_document(_input(shape=[3]))),
        400,
        "input 'image_id' has 1 elements, its shape [3] says otherwise",
    ),
)


def _with(name: str, text: str) -> bytes:
    return _GOOD[:-1] + f', "{name}": {text}'.encode() + b"}"


_BODIES = (
    Rest("no-body", None, 400, "the body is empty"),
    Rest("empty-body", b"", 400, "the body is empty"),
    Rest("blank-body", b" \n", 400, _NOT_JSON),
    Rest("text", b"hello", 400, _NOT_JSON),
    Rest("cut-json", _GOOD[:-1], 400, _NOT_JSON),
    Rest("two-documents", _GOOD * 2, 400, _NOT_JSON),
    Rest("trailing-comma", _GOOD[:-1] + b",}", 400, _NOT_JSON),
    Rest("single-quotes", b"{'inputs': []}", 400, _NOT_JSON),
    Rest("xml", b"<inputs/>", 400, _NOT_JSON),
    Rest("form", b"inputs=1", 400, _NOT_JSON, (("content-type", "application/x-www-form-urlencoded"),)),
    *(
        Rest(f"json-{text}", text.encode(), 400, "the body must be a JSON object")
        for text in ("null", "true", "1", '"a"', "[]", "[{}]")
    ),
    Rest("nan", _with("x", "NaN"), 400, _NOT_JSON),
    Rest("infinity", _with("x", "-Infinity"), 400, _NOT_JSON),
    Rest("number-beyond-floats", _with("x", "1e999"), 400, _NOT_JSON),
    Rest("number-of-5000-digits", _with("x", "9" * 5000), 400, _NOT_JSON),
    Rest("number-of-5000-decimals", _with("x", "0." + "1" * 5000)),
    Rest("nested-100000-lists", _with("x", "[" * 100_000 + "]" * 100_000), 400, _NOT_JSON),
    Rest("nested-100000-objects", _with("x", '{"a":' * 100_000 + "1" + "}" * 100_000), 400, _NOT_JSON),
    Rest("key-twice", b'{"inputs": 1, ' + _GOOD[1:]),
    Rest("invalid-utf-8", _GOOD.replace(b"r0", b"\xff0"), 400, _NOT_JSON),
    Rest("overlong-utf-8", _GOOD.replace(b"r0", b"\xc0\xaf"), 400, _NOT_JSON),
    Rest("lone-surrogate", _GOOD.replace(b"r0", b"\\ud800"), 400, _NOT_JSON),
    Rest("byte-order-mark", b"\xef\xbb\xbf" + _GOOD, 400, _NOT_JSON),
    Rest("utf-16", _GOOD.decode().encode("utf-16"), 400, _NOT_JSON),
    Rest("nul-byte", _GOOD + b"\x00", 400, _NOT_JSON),
    Rest("unknown-members", _with("extra", '{"a": [1, null]}')),
    Rest("white-space", b"\r\n\t " + _GOOD + b"  "),
    Rest("another-content-type", _GOOD, headers=(("content-type", "text/plain"),)),
    Rest("body-over-the-limit", b" " * (2**21 + 1), 413, _TOO_LARGE),
    Rest("json-escapes", _GOOD.replace(b"r0", b"\\u00720")),
)
_GZIP, _DEFLATE = (("content-encoding", "gzip"),), (("content-encoding", "deflate"),)
_CUT = "the {} body is cut short"
_CODINGS = (
    Rest("gzip", gzip.compress(_GOOD), headers=_GZIP),
    Rest("deflate", zlib.compress(_GOOD), headers=_DEFLATE),
    Rest("identity", _GOOD, headers=(("content-encoding", "identity"),)),
    Rest("gzip-in-capitals", gzip.compress(_GOOD), headers=(("content-encoding", "GZIP"),)),
    Rest("x-gzip", gzip.compress(_GOOD), headers=(("content-encoding", "x-gzip"),)),
    Rest("gzip-cut", gzip.compress(_GOOD)[:-9], 400, "the gzip body is cut short", _GZIP),
    Rest("gzip-without-checksum", gzip.compress(_GOOD)[:-4], 400, "the gzip body is cut short", _GZIP),
    Rest("gzip-wrong-checksum", gzip.compress(_GOOD)[:-8] + bytes(8), 400, "the body is not gzip", _GZIP),
    Rest("deflate-cut", zlib.compress(_GOOD)[:-5], 400, "the deflate body is cut short", _DEFLATE),
    Rest(
        "gzip-trailing-bytes",
        gzip.compress(_GOOD) + b"more",
        400,
        "the body is longer than its gzip data",
        _GZIP,
    ),
    Rest(
        "gzip-two-members",
        gzip.compress(_GOOD) + gzip.compress(b" "),
        400,
        "the body is longer than its gzip data",
        _GZIP,
    ),
    Rest("gzip-twice", gzip.compress(gzip.compress(_GOOD)), 400, _NOT_JSON, _GZIP),
    Rest(
        "gzip-twice-declared",
        gzip.compress(gzip.compress(_GOOD)),
        400,
        "content-encoding must be gzip or deflate",
        (("content-encoding", "gzip, gzip"),),
    ),
    Rest("gzip-bomb", gzip.compress(bytes(200_000_000), 1), 413, _TOO_LARGE, _GZIP),
    Rest("deflate-bomb", zlib.compress(bytes(200_000_000), 1), 413, _TOO_LARGE, _DEFLATE),
    Rest("gzip-empty", b"", 400, "the gzip body is cut short", _GZIP),
    Rest("gzip-of-nothing", gzip.compress(b""), 400, "the body is empty", _GZIP),
    Rest("not-gzip", _GOOD, 400, "the body is not gzip", _GZIP),
    Rest("not-deflate", _GOOD, 400, "the body is not deflate", _DEFLATE),
    *(
        Rest(
            f"coding-{coding}",
            _GOOD,
            400,
            "content-encoding must be gzip or deflate",
            (("content-encoding", coding),),
        )
        for coding in ("br", "zstd", "compress", "aws-chunked", "gzip;q=1", "*")
    ),
    Rest(
        "accept-gzip",
        _GOOD,
        headers=(("accept-encoding", "gzip"),),
        check=lambda a: "content-encoding" not in a.headers,
    ),
    Rest(
        "accept-anything-else",
        _GOOD,
        headers=(("accept-encoding", "br, *;q=0.1"),),
        check=lambda a: "content-encoding" not in a.headers,
    ),
    Rest("accept-xml", _GOOD, headers=(("accept", "application/xml"),)),
)


def _get(name: str, path: str, status: int = 200, error: str = "", **more: Any) -> Rest:
    return Rest(name, status=status, error=error, path=path, verb="GET", **more)


def _verb(verb: str, path: str, name: str, hops: tuple[str, ...] = BOTH) -> Rest:
    return Rest(f"{verb.lower()}-{name}", None, 405, _NO_VERB, verb=verb, path=path, hops=hops)


def _is(document: Any) -> Callable[[HttpAnswer], bool]:
    return lambda answer: bool(answer.document == document)


_ONE, _VERSIONED = f"/v2/models/{MODEL}", f"/v2/models/{MODEL}/versions/0.0.1"
_IS_READY = _is({"name": MODEL, "ready": True})


def _is_server(answer: HttpAnswer) -> bool:
    document = answer.document
    return (document["name"], document["extensions"]) == ("pleura", ["binary_tensor_data"]) and set(
        document
    ) == {
        "name",
        "version",
        "extensions",
    }


def _is_model(answer: HttpAnswer) -> bool:
    document: Mapping[str, Any] = answer.document
    return set(document) == {"name", "versions", "platform", "inputs", "outputs"} and (
        document["name"],
        document["versions"],
    ) == (MODEL, ["0.0.1"])


_EVERYWHERE = (*BOTH, "predictor")
_READING = (
    _get("live", "/v2/health/live", check=_is({"live": True}), hops=_EVERYWHERE),
    _get("ready", "/v2/health/ready", check=_is({"ready": True}), hops=_EVERYWHERE),
    _get("server", "/v2", check=_is_server, hops=_EVERYWHERE),
    _get("models", "/v2/models", check=_is({"models": [MODEL]}), hops=_EVERYWHERE),
    _get("model", _ONE, check=_is_model, hops=_EVERYWHERE),
    _get("model-of-version", _VERSIONED, check=_is_model, hops=_EVERYWHERE),
    _get("model-ready", f"{_ONE}/ready", check=_IS_READY, hops=_EVERYWHERE),
    _get("model-of-version-ready", f"{_VERSIONED}/ready", check=_IS_READY, hops=_EVERYWHERE),
    *(
        _get(f"{what}{kind}", f"/v2/models/{name}{version}{tail}", 404, error, hops=_EVERYWHERE)
        for what, tail in (("model", ""), ("model-ready", "/ready"))
        for kind, name, version, error in (
            ("-unknown", "other", "", _NO_MODEL),
            ("-unknown-of-version", "other", "/versions/0.0.1", _NO_MODEL),
            ("-of-unknown-version", MODEL, "/versions/9", _NO_VERSION),
            ("-of-longer-version", MODEL, "/versions/0.0.1.0", _NO_VERSION),
        )
    ),
    _get("model-of-empty-version", f"{_ONE}/versions//ready", 404, _NO_PATH),
    _get("model-of-another-case", "/v2/models/CHEST-XRAY", 404, _NO_MODEL),
    *(
        _get(f"trailing-slash-{n}", f"{path}/", 404, _NO_PATH, hops=_EVERYWHERE)
        for n, path in (
            ("server", "/v2"),
            ("live", "/v2/health/live"),
            ("model", _ONE),
            ("ready", f"{_ONE}/ready"),
        )
    ),
    Rest("trailing-slash-infer", _GOOD, 404, _NO_PATH, path=INFER + "/", hops=_EVERYWHERE),
    Rest("infer-empty-version", _GOOD, 404, _NO_PATH, path=f"{_ONE}/versions//infer"),
    _get("unknown-path", "/v2/nothing", 404, _NO_PATH, hops=_EVERYWHERE),
    _get("statistics", f"{_ONE}/stats", 404, _NO_PATH, hops=_EVERYWHERE),
    _get("configuration", f"{_ONE}/config", 404, _NO_PATH, hops=_EVERYWHERE),
    _get("documents", "/docs", 404, _NO_PATH, hops=_EVERYWHERE),
    _get("redoc", "/redoc", 404, _NO_PATH, hops=_EVERYWHERE),
    _get("openapi", "/openapi.json", 404, _NO_PATH, hops=("transformer", "predictor")),
    _get("root", "/", 404, _NO_PATH, hops=_EVERYWHERE),
    _get("live-with-body", "/v2/health/live", body=b"{}", check=_is({"live": True})),
    _get("model-with-body", _ONE, body=b"x" * 10_000, check=_is_model),
    *(
        Rest(
            f"repository-{what}",
            b"{}",
            404,
            _NO_PATH,
            path=f"/v2/repository/models/{MODEL}/{what}",
            hops=_EVERYWHERE,
        )
        for what in ("load", "unload")
    ),
    Rest("repository-index", b"{}", 404, _NO_PATH, path="/v2/repository/index", hops=_EVERYWHERE),
    Rest("v1-predict", b"{}", 404, _NO_PATH, path=f"/v1/models/{MODEL}:predict", hops=_EVERYWHERE),
    Rest("generate", b"{}", 404, _NO_PATH, path=f"{_ONE}/generate", hops=_EVERYWHERE),
    Rest(
        "system-shared-memory", b"{}", 404, _NO_PATH, path="/v2/systemsharedmemory/register", hops=_EVERYWHERE
    ),
    Rest("unknown-model", _GOOD, 404, _NO_MODEL, path="/v2/models/other/infer", hops=_EVERYWHERE),
    Rest("unknown-version", _GOOD, 404, _NO_VERSION, path=f"{_ONE}/versions/9/infer", hops=_EVERYWHERE),
    *(
        _verb(verb, path, name, _EVERYWHERE)
        for name, path, verbs in (
            ("infer", INFER, ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD")),
            ("live", "/v2/health/live", ("POST", "PUT", "DELETE", "OPTIONS")),
            ("server", "/v2", ("POST", "OPTIONS")),
            ("model", _ONE, ("POST", "DELETE", "OPTIONS")),
            ("model-ready", f"{_VERSIONED}/ready", ("POST", "OPTIONS")),
        )
        for verb in verbs
    ),
    _verb("HEAD", "/v2/health/live", "live", ("proxy",)),
    _verb("HEAD", _ONE, "model", ("proxy",)),
    Rest("head-of-live", None, 200, verb="HEAD", path="/v2/health/live", hops=("transformer", "predictor")),
)
_DEADLINES = tuple(
    Rest(
        f"timeout-{text}",
        _GOOD,
        400,
        "x-request-timeout-ms must be a positive number of milliseconds",
        headers=(("x-request-timeout-ms", text),),
    )
    for text in ("0", "-1", "1.5", "soon", "")
)
CASES = (*_IDS, *_OUTPUTS, *_BINARY, *_TENSORS, *_BODIES, *_CODINGS, *_READING, *_DEADLINES)
