"""The health of the proxy over REST, in its own form and in V2's. Nobody needs a token for it."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from auth_proxy.readiness import Readiness
from pleura.contract import MODEL_NAME
from pleura.serving.health import HealthChecks


def _build_response(document: Mapping[str, Any], is_well: bool) -> Response:
    return JSONResponse(document, 200 if is_well else 503)


class Live:
    """ASGI endpoint: say whether the process can do its work."""

    def __init__(self, health: HealthChecks) -> None:
        self._health = health

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        is_live, parts = self._health.liveness()
        await _build_response({"live": is_live, **parts}, is_live)(scope, receive, send)


class Ready:
    """ASGI endpoint: say whether requests can be answered, and which part is missing."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        is_ready, parts = await self._readiness.check()
        await _build_response({"ready": is_ready, **parts}, is_ready)(scope, receive, send)


class V2Live:
    """ASGI endpoint: say whether the process can do its work, as V2 does."""

    def __init__(self, health: HealthChecks) -> None:
        self._health = health

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        is_live, _ = self._health.liveness()
        await _build_response({"live": is_live}, is_live)(scope, receive, send)


class V2Ready:
    """ASGI endpoint: say whether requests can be answered, as V2 does."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        is_ready, _ = await self._readiness.check()
        await _build_response({"ready": is_ready}, is_ready)(scope, receive, send)


class ModelReady:
    """ASGI endpoint: say whether the one model can answer, as V2 does."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        is_ready, _ = await self._readiness.check()
        await _build_response({"name": MODEL_NAME, "ready": is_ready}, is_ready)(scope, receive, send)
