"""The allow-list of REST and gRPC: every route of the proxy, with the scope that it needs.

The list is compared with the bytes of the request line. Nothing is decoded or normalised, so the transformer
cannot understand a path differently. A path with an escape, a dot segment, an empty segment or a parameter is
not in the list.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from auth_proxy.path_hints import explain_path
from pleura.contract import MODEL_NAME
from pleura.errors import InvalidRequest, MethodNotAllowed, NotFound
from pleura.identifiers import IDENTIFIER_NAMES
from pleura.serving.grpc_health import CHECK_METHOD, V2_SERVICE

CLASSIFY_SCOPE: Final = "radiograph:classify"
READ_SCOPE: Final = "model:read"
FEEDBACK_SCOPE: Final = "feedback:write"
ANSWERS_SCOPE: Final = "answers:read"
ALL_ANSWERS_SCOPE: Final = "answers:read_all"
"""No route needs it. With it, the routes of ``ANSWERS_SCOPE`` give answers to other principals as well."""
SCOPES: Final = frozenset({CLASSIFY_SCOPE, READ_SCOPE, FEEDBACK_SCOPE, ANSWERS_SCOPE, ALL_ANSWERS_SCOPE})

_SEGMENT: Final = rb"[A-Za-z0-9](?:\.?[A-Za-z0-9_-]){0,63}"
# a request id without two dots in a row or a dot at its end, so that no path has a dot segment
_ANSWER: Final = rb"/answers/([A-Za-z0-9](?:\.?[A-Za-z0-9_:-]){0,127})"
_MODEL: Final = rb"/v2/models/" + _SEGMENT + rb"(?:/versions/" + _SEGMENT + rb")?"
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::(\d{1,5}))?")
_MAX_PATH_BYTES: Final = 512


@dataclass(frozen=True)
class Route:
    """One kind of request.

    Args:
        verbs: The verbs that the path accepts.
        scope: The scope that a token must have; None for a route that is open to everybody.
        query: The names that its query may have.
    """

    name: str
    verbs: frozenset[str]
    path: re.Pattern[bytes]
    scope: str | None
    query: frozenset[str] = frozenset()

    @property
    def is_forwarded(self) -> bool:
        """Whether the transformer gets the request as it came. What everybody may ask, the proxy answers."""
        return self.name.startswith("v2") and self.scope is not None


def _route(name: str, verbs: str, path: bytes, scope: str | None) -> Route:
    return Route(name, frozenset(verbs.split()), re.compile(path), scope)


def _answers_route(name: str, path: bytes, *query: str) -> Route:
    route = _route(name, "GET", path, ANSWERS_SCOPE)
    return replace(route, query=frozenset({"answered_to", *query}))


ROUTES: Final = (
    _route("v2_infer", "POST", _MODEL + rb"/infer", CLASSIFY_SCOPE),
    _route("v2_server", "GET", rb"/v2", READ_SCOPE),
    _route("v2_live", "GET HEAD", rb"/v2/health/live", None),
    _route("v2_ready", "GET HEAD", rb"/v2/health/ready", None),
    # of the one model only, and not of a version: strangers need not learn which version is served
    _route("v2_model_ready", "GET HEAD", rb"/v2/models/" + MODEL_NAME.encode() + rb"/ready", None),
    _route("v2_models", "GET", rb"/v2/models", READ_SCOPE),
    _route("v2_model", "GET", _MODEL, READ_SCOPE),
    _route("v2_model_ready", "GET HEAD", _MODEL + rb"/ready", READ_SCOPE),
    _route("classify", "POST", rb"/classify", CLASSIFY_SCOPE),
    _route("feedback", "POST", rb"/feedback", FEEDBACK_SCOPE),
    _answers_route("answers_find", rb"/answers", *IDENTIFIER_NAMES, "limit", "cursor"),
    _answers_route("answers_show", _ANSWER),
    _answers_route("answers_overlay", _ANSWER + rb"/overlay", "finding", "position"),
    _route("model_info", "GET", rb"/model-info", READ_SCOPE),
    _route("healthz", "GET HEAD", rb"/healthz", None),
    _route("readyz", "GET HEAD", rb"/readyz", None),
    _route("openapi", "GET", rb"/openapi\.json", None),
)
PREFLIGHT: Final = _route("preflight", "OPTIONS", b"", None)
"""The question of a browser before a request. ``cors`` answers it on the path of any route."""
_GRPC_SCOPES: Final = {
    "ServerLive": None,
    "ServerReady": None,
    "ModelReady": READ_SCOPE,
    "ServerMetadata": READ_SCOPE,
    "ModelMetadata": READ_SCOPE,
    "ModelInfer": CLASSIFY_SCOPE,
}
GRPC_ROUTES: Final[Mapping[str, Route]] = {
    f"/{V2_SERVICE}/{method}": _route(f"grpc_{method}", "POST", b"", scope)
    for method, scope in _GRPC_SCOPES.items()
} | {CHECK_METHOD: _route("grpc_Check", "POST", b"", None)}
"""The gRPC methods by their full name. The methods that load and unload models are not among them."""


def find_verbs(raw_path: bytes) -> frozenset[str]:
    """Find the verbs that a path accepts. There are none where no route has the path."""
    return frozenset(verb for route in _find_routes(raw_path) for verb in route.verbs)


def _find_routes(raw_path: bytes) -> Sequence[Route]:
    if len(raw_path) > _MAX_PATH_BYTES:
        return ()
    # the bytes as they came: a decoded path could be understood in a second way (docs/decisions/0036)
    return [route for route in ROUTES if route.path.fullmatch(raw_path)]


def find_route(verb: str, raw_path: bytes, query: bytes) -> Route:
    """Find the route of a REST request.

    Raises:
        NotFound: No route has exactly this path.
        MethodNotAllowed: A route has this path, but with another verb.
        InvalidRequest: The request has a query, and the route takes none.
    """
    matching = _find_routes(raw_path)
    if not matching:
        plain = raw_path.lower().rstrip(b"/")
        raise NotFound(explain_path(raw_path[:_MAX_PATH_BYTES], bool(_find_routes(plain))))
    if query and not any(route.query for route in matching):
        raise InvalidRequest("this path takes no query")
    for route in matching:
        if verb in route.verbs:
            return route
    raise MethodNotAllowed(find_verbs(raw_path))


def require_host(values: list[bytes]) -> None:
    """Require one ``Host`` header that holds a host name or an address, with or without a port.

    Raises:
        InvalidRequest: The headers name no host, several, or something else.

    Source:
        RFC 9112 section 3.2; CVE-2026-48710 (a Host with ``/?#@`` moves what Starlette takes for the path).
    """
    match = _HOST.fullmatch(values[0]) if len(values) == 1 else None
    if match is None or int(match[1] or 1) not in range(1, 65536):
        raise InvalidRequest("the request must name one host")
