"""Which requests there are: an allow-list, decided on the bytes of the request line.

Nothing is decoded or normalised, so there is nothing to disagree about with the transformer: a path that
holds an escape, a dot segment, an empty segment or a parameter is no path of ours.
"""

import re
from dataclasses import dataclass
from typing import Final

from auth_proxy.tokens.verification import CLASSIFY_SCOPE, FEEDBACK_SCOPE, READ_SCOPE
from pleura.errors import InvalidRequest, MethodNotAllowed, NotFound

_SEGMENT: Final = rb"[A-Za-z0-9](?:\.?[A-Za-z0-9_-]){0,63}"
_MODEL: Final = rb"/v2/models/" + _SEGMENT + rb"(?:/versions/" + _SEGMENT + rb")?"
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::(\d{1,5}))?")
_MAX_PATH_BYTES: Final = 512


@dataclass(frozen=True)
class Route:
    """A kind of request; ``scope`` is None where nobody need say who they are."""

    name: str
    verb: str
    path: re.Pattern[bytes]
    scope: str | None

    @property
    def is_forwarded(self) -> bool:
        """Whether the transformer answers it as it came."""
        return self.name.startswith("v2")


def _route(name: str, verb: str, path: bytes, scope: str | None) -> Route:
    return Route(name, verb, re.compile(path), scope)


ROUTES: Final = (
    _route("v2_infer", "POST", _MODEL + rb"/infer", CLASSIFY_SCOPE),
    _route("v2_server", "GET", rb"/v2", READ_SCOPE),
    _route("v2_health", "GET", rb"/v2/health/(?:live|ready)", READ_SCOPE),
    _route("v2_models", "GET", rb"/v2/models", READ_SCOPE),
    _route("v2_model", "GET", _MODEL, READ_SCOPE),
    _route("v2_model_ready", "GET", _MODEL + rb"/ready", READ_SCOPE),
    _route("classify", "POST", rb"/classify", CLASSIFY_SCOPE),
    _route("feedback", "POST", rb"/feedback", FEEDBACK_SCOPE),
    _route("model_info", "GET", rb"/model-info", READ_SCOPE),
    _route("healthz", "GET", rb"/healthz", None),
    _route("readyz", "GET", rb"/readyz", None),
    _route("openapi", "GET", rb"/openapi\.json", None),
)


def route_of(verb: str, raw_path: bytes, query: bytes) -> Route:
    """Name the route of a request.

    Raises:
        NotFound: No route has that path, to the byte.
        MethodNotAllowed: The path exists, but not with that verb.
        InvalidRequest: There is a query; none of the routes has one.
    """
    if len(raw_path) > _MAX_PATH_BYTES:
        raise NotFound("no such path")
    matching = [route for route in ROUTES if route.path.fullmatch(raw_path)]
    if not matching:
        raise NotFound("no such path")
    if query:
        raise InvalidRequest("no route has a query")
    for route in matching:
        if route.verb == verb:
            return route
    raise MethodNotAllowed({route.verb for route in matching})


def check_host(values: list[bytes]) -> None:
    """See that the request names one host, and that it is a host.

    Raises:
        InvalidRequest: It does not.

    Source:
        RFC 9112 section 3.2; CVE-2026-48710 (a Host with ``/?#@`` moves what Starlette takes for the path).
    """
    match = _HOST.fullmatch(values[0]) if len(values) == 1 else None
    if match is None or int(match[1] or 1) not in range(1, 65536):
        raise InvalidRequest("the request must name one host")
