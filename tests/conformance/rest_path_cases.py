"""REST verbs and paths that exist, and others that do not."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.conformance.rest_request import BOTH, GOOD, INFER, NO_PATH, RestRequest
from tests.conformance.servers import HttpAnswer
from tests.conformance.v2_request import MODEL

_NO_VERB = "no such verb on that path"
_NO_MODEL = "no model of that name is served; the model's name is 'chest-xray'"
_NO_VERSION = "no such version of the model is served"


def _build_get(name: str, path: str, status: int = 200, error: str = "", **more: Any) -> RestRequest:
    return RestRequest(name, status=status, error=error, path=path, verb="GET", **more)


def _build_refused_verb(verb: str, path: str, name: str, servers: tuple[str, ...] = BOTH) -> RestRequest:
    return RestRequest(f"{verb.lower()}-{name}", None, 405, _NO_VERB, verb=verb, path=path, servers=servers)


def _equals(document: Any) -> Callable[[HttpAnswer], bool]:
    return lambda answer: bool(answer.document == document)


_ONE, _VERSIONED = f"/v2/models/{MODEL}", f"/v2/models/{MODEL}/versions/0.0.1"
_IS_READY = _equals({"name": MODEL, "ready": True})


def _is_server(answer: HttpAnswer) -> bool:
    document = answer.document
    return (document["name"], document["extensions"]) == ("pleura", ["binary_tensor_data"]) and set(
        document
    ) == {"name", "version", "extensions"}


def _is_model(answer: HttpAnswer) -> bool:
    document: Mapping[str, Any] = answer.document
    return set(document) == {"name", "versions", "platform", "inputs", "outputs"} and (
        document["name"],
        document["versions"],
    ) == (MODEL, ["0.0.1"])


_EVERYWHERE = (*BOTH, "predictor")
_READING = (
    _build_get("live", "/v2/health/live", check=_equals({"live": True}), servers=_EVERYWHERE),
    _build_get("ready", "/v2/health/ready", check=_equals({"ready": True}), servers=_EVERYWHERE),
    _build_get("server", "/v2", check=_is_server, servers=_EVERYWHERE),
    _build_get("models", "/v2/models", check=_equals({"models": [MODEL]}), servers=_EVERYWHERE),
    _build_get("model", _ONE, check=_is_model, servers=_EVERYWHERE),
    _build_get("model-of-version", _VERSIONED, check=_is_model, servers=_EVERYWHERE),
    _build_get("model-ready", f"{_ONE}/ready", check=_IS_READY, servers=_EVERYWHERE),
    _build_get("model-of-version-ready", f"{_VERSIONED}/ready", check=_IS_READY, servers=_EVERYWHERE),
    *(
        _build_get(f"{what}{kind}", f"/v2/models/{name}{version}{tail}", 404, error, servers=_EVERYWHERE)
        for what, tail in (("model", ""), ("model-ready", "/ready"))
        for kind, name, version, error in (
            ("-unknown", "other", "", _NO_MODEL),
            ("-unknown-of-version", "other", "/versions/0.0.1", _NO_MODEL),
            ("-of-unknown-version", MODEL, "/versions/9", _NO_VERSION),
            ("-of-longer-version", MODEL, "/versions/0.0.1.0", _NO_VERSION),
        )
    ),
    _build_get("model-of-empty-version", f"{_ONE}/versions//ready", 404, NO_PATH),
    _build_get("model-of-another-case", "/v2/models/CHEST-XRAY", 404, _NO_MODEL),
    *(
        _build_get(f"trailing-slash-{n}", f"{path}/", 404, NO_PATH, servers=_EVERYWHERE)
        for n, path in (
            ("server", "/v2"),
            ("live", "/v2/health/live"),
            ("model", _ONE),
            ("ready", f"{_ONE}/ready"),
        )
    ),
    RestRequest("trailing-slash-infer", GOOD, 404, NO_PATH, path=INFER + "/", servers=_EVERYWHERE),
    RestRequest("infer-empty-version", GOOD, 404, NO_PATH, path=f"{_ONE}/versions//infer"),
    _build_get("unknown-path", "/v2/nothing", 404, NO_PATH, servers=_EVERYWHERE),
    _build_get("statistics", f"{_ONE}/stats", 404, NO_PATH, servers=_EVERYWHERE),
    _build_get("configuration", f"{_ONE}/config", 404, NO_PATH, servers=_EVERYWHERE),
    _build_get("documents", "/docs", 404, NO_PATH, servers=_EVERYWHERE),
    _build_get("redoc", "/redoc", 404, NO_PATH, servers=_EVERYWHERE),
    _build_get("openapi", "/openapi.json", 404, NO_PATH, servers=("transformer", "predictor")),
    _build_get("root", "/", 404, NO_PATH, servers=_EVERYWHERE),
    _build_get("live-with-body", "/v2/health/live", body=b"{}", check=_equals({"live": True})),
    _build_get("model-with-body", _ONE, body=b"x" * 10_000, check=_is_model),
    *(
        RestRequest(
            f"repository-{what}",
            b"{}",
            404,
            NO_PATH,
            path=f"/v2/repository/models/{MODEL}/{what}",
            servers=_EVERYWHERE,
        )
        for what in ("load", "unload")
    ),
    RestRequest("repository-index", b"{}", 404, NO_PATH, path="/v2/repository/index", servers=_EVERYWHERE),
    RestRequest("v1-predict", b"{}", 404, NO_PATH, path=f"/v1/models/{MODEL}:predict", servers=_EVERYWHERE),
    RestRequest("generate", b"{}", 404, NO_PATH, path=f"{_ONE}/generate", servers=_EVERYWHERE),
    RestRequest(
        "system-shared-memory",
        b"{}",
        404,
        NO_PATH,
        path="/v2/systemsharedmemory/register",
        servers=_EVERYWHERE,
    ),
    RestRequest("unknown-model", GOOD, 404, _NO_MODEL, path="/v2/models/other/infer", servers=_EVERYWHERE),
    RestRequest(
        "unknown-version", GOOD, 404, _NO_VERSION, path=f"{_ONE}/versions/9/infer", servers=_EVERYWHERE
    ),
    *(
        _build_refused_verb(verb, path, name, _EVERYWHERE)
        for name, path, verbs in (
            ("infer", INFER, ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD")),
            ("live", "/v2/health/live", ("POST", "PUT", "DELETE", "OPTIONS")),
            ("ready", "/v2/health/ready", ("POST",)),
            ("server", "/v2", ("POST", "OPTIONS")),
            ("model", _ONE, ("POST", "DELETE", "OPTIONS")),
            ("model-ready", f"{_VERSIONED}/ready", ("POST", "OPTIONS")),
        )
        for verb in verbs
    ),
    _build_refused_verb("HEAD", _ONE, "model", ("proxy",)),
    *(
        RestRequest(f"head-of-{path}", None, 200, verb="HEAD", path=path, servers=_EVERYWHERE)
        for path in (
            *("/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"),
            *(f"{_ONE}/ready", f"{_VERSIONED}/ready"),
        )
    ),
    RestRequest(
        "head-of-another-version",
        None,
        404,
        verb="HEAD",
        path=f"{_ONE}/versions/9/ready",
        servers=_EVERYWHERE,
    ),
)
CASES = _READING
