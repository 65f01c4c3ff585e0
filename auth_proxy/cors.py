"""Cross-origin requests: scripts of listed web pages may read the answers. By default no page is listed.

A script sends the bearer token itself. Cookies are never read, so no answer allows credentials.

Source:
    Fetch Standard, section 3.3 (CORS protocol).
"""

from collections.abc import Set
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from auth_proxy.allow_list import PREFLIGHT, find_verbs
from auth_proxy.call import get_call

_ALLOWED: Final = (
    b"authorization, content-type, x-request-id, x-request-timeout-ms, traceparent, tracestate, "
    b"inference-header-content-length"
)
_EXPOSED: Final = (
    b"x-request-id, retry-after, www-authenticate, inference-header-content-length, pleura-finding"
)
_MAX_AGE_S: Final = b"600"
_VARY: Final = (b"vary", b"Origin")
_VARY_OF_PREFLIGHT: Final = b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


class AllowOrigins:
    """ASGI middleware: mark answers for the listed origins, and answer their preflight requests.

    A preflight request brings no token. It is answered on the paths of routes only, from the list of routes,
    and goes no further. Without origins nothing is done.
    """

    def __init__(self, app: ASGIApp, origins: Set[str]) -> None:
        self._app, self._origins = app, frozenset(origin.encode() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        if not self._origins:
            await self._app(scope, receive, send)
            return
        origin = _find_single(scope, b"origin")
        if origin not in self._origins:
            await self._app(scope, receive, _add_headers(send, _VARY))
            return
        allowed = (b"access-control-allow-origin", origin)
        verbs = _find_preflight_verbs(scope)
        if verbs:
            await _answer_preflight(scope, send, allowed, verbs)
            return
        exposed = (b"access-control-expose-headers", _EXPOSED)
        await self._app(scope, receive, _add_headers(send, _VARY, allowed, exposed))


def _find_single(scope: Scope, name: bytes) -> bytes:
    """Return the value of a header that occurs once; an empty value for any other number."""
    values: list[bytes] = [value for each, value in scope["headers"] if each == name]
    return values[0] if len(values) == 1 else b""


def _find_preflight_verbs(scope: Scope) -> frozenset[str]:
    """Return the verbs of the path, if the request is a preflight request on the path of a route."""
    if scope["method"] != "OPTIONS" or not _find_single(scope, b"access-control-request-method"):
        return frozenset()
    return find_verbs(scope["raw_path"])


async def _answer_preflight(
    scope: Scope, send: Send, allowed: tuple[bytes, bytes], verbs: frozenset[str]
) -> None:
    get_call(scope).route = PREFLIGHT
    headers = [
        allowed,
        (b"access-control-allow-methods", ", ".join(sorted(verbs)).encode()),
        (b"access-control-allow-headers", _ALLOWED),
        (b"access-control-max-age", _MAX_AGE_S),
        (b"vary", _VARY_OF_PREFLIGHT),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body"})


def _add_headers(send: Send, *headers: tuple[bytes, bytes]) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *headers]
        await send(message)

    return send_with_headers
