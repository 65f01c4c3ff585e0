"""REST verbs and paths: what there is to read, and what is not there."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.conformance.hops import HttpAnswer
from tests.conformance.question import MODEL
from tests.conformance.rest_request import BOTH, GOOD, INFER, NO_PATH, RestRequest

_NO_VERB = "no such verb on that path"
_NO_MODEL = "no model of that name is served"
_NO_VERSION = "no such version of the model is served"


def _get(name: str, path: str, status: int = 200, error: str = "", **more: Any) -> RestRequest:
    return RestRequest(name, status=status, error=error, path=path, verb="GET", **more)


def _verb(verb: str, path: str, name: str, hops: tuple[str, ...] = BOTH) -> RestRequest:
    return RestRequest(f"{verb.lower()}-{name}", None, 405, _NO_VERB, verb=verb, path=path, hops=hops)


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
    _get("model-of-empty-version", f"{_ONE}/versions//ready", 404, NO_PATH),
    _get("model-of-another-case", "/v2/models/CHEST-XRAY", 404, _NO_MODEL),
    *(
        _get(f"trailing-slash-{n}", f"{path}/", 404, NO_PATH, hops=_EVERYWHERE)
        for n, path in (
            ("server", "/v2"),
            ("live", "/v2/health/live"),
            ("model", _ONE),
            ("ready", f"{_ONE}/ready"),
        )
    ),
    RestRequest("trailing-slash-infer", GOOD, 404, NO_PATH, path=INFER + "/", hops=_EVERYWHERE),
    RestRequest("infer-empty-version", GOOD, 404, NO_PATH, path=f"{_ONE}/versions//infer"),
    _get("unknown-path", "/v2/nothing", 404, NO_PATH, hops=_EVERYWHERE),
    _get("statistics", f"{_ONE}/stats", 404, NO_PATH, hops=_EVERYWHERE),
    _get("configuration", f"{_ONE}/config", 404, NO_PATH, hops=_EVERYWHERE),
    _get("documents", "/docs", 404, NO_PATH, hops=_EVERYWHERE),
    _get("redoc", "/redoc", 404, NO_PATH, hops=_EVERYWHERE),
    _get("openapi", "/openapi.json", 404, NO_PATH, hops=("transformer", "predictor")),
    _get("root", "/", 404, NO_PATH, hops=_EVERYWHERE),
    _get("live-with-body", "/v2/health/live", body=b"{}", check=_is({"live": True})),
    _get("model-with-body", _ONE, body=b"x" * 10_000, check=_is_model),
    *(
        RestRequest(
            f"repository-{what}",
            b"{}",
            404,
            NO_PATH,
            path=f"/v2/repository/models/{MODEL}/{what}",
            hops=_EVERYWHERE,
        )
        for what in ("load", "unload")
    ),
    RestRequest("repository-index", b"{}", 404, NO_PATH, path="/v2/repository/index", hops=_EVERYWHERE),
    RestRequest("v1-predict", b"{}", 404, NO_PATH, path=f"/v1/models/{MODEL}:predict", hops=_EVERYWHERE),
    RestRequest("generate", b"{}", 404, NO_PATH, path=f"{_ONE}/generate", hops=_EVERYWHERE),
    RestRequest(
        "system-shared-memory", b"{}", 404, NO_PATH, path="/v2/systemsharedmemory/register", hops=_EVERYWHERE
    ),
    RestRequest("unknown-model", GOOD, 404, _NO_MODEL, path="/v2/models/other/infer", hops=_EVERYWHERE),
    RestRequest("unknown-version", GOOD, 404, _NO_VERSION, path=f"{_ONE}/versions/9/infer", hops=_EVERYWHERE),
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
    RestRequest(
        "head-of-live", None, 200, verb="HEAD", path="/v2/health/live", hops=("transformer", "predictor")
    ),
)
CASES = _READING
