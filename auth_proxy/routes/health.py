"""``GET /healthz`` and ``GET /readyz``: the process is alive; keys and transformer are ready."""

import asyncio
import time
from http import HTTPStatus
from typing import Final

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from auth_proxy.tokens.authenticator import Authenticator
from auth_proxy.transformer_client import TransformerClient
from pleura.errors import PleuraError
from pleura.observability.metrics import READY
from pleura.serving.health import HealthChecks
from pleura.serving.shutdown import Shutdown

_FRESH_S: Final = 1.0
_TIMEOUT_S: Final = 2.0


class Live:
    """ASGI endpoint: say whether the process can do its work."""

    def __init__(self, health: HealthChecks) -> None:
        self._health = health

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        is_live, parts = self._health.liveness()
        await JSONResponse({"live": is_live, **parts}, 200 if is_live else 503)(scope, receive, send)


class Ready:
    """ASGI endpoint: say whether requests can be answered. It asks the transformer at most once a second."""

    def __init__(
        self, authenticator: Authenticator, transformer: TransformerClient, shutdown: Shutdown
    ) -> None:
        self._authenticator, self._transformer, self._shutdown = authenticator, transformer, shutdown
        self._lock, self._checked_s, self._is_transformer_ready = asyncio.Lock(), float("-inf"), False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        parts = {"keys": self._authenticator.is_ready, "transformer": await self._check_transformer()}
        is_ready = all(parts.values()) and not self._shutdown.has_begun
        READY.set(is_ready)
        await JSONResponse({"ready": is_ready, **parts}, 200 if is_ready else 503)(scope, receive, send)

    async def _check_transformer(self) -> bool:
        async with self._lock:
            # everybody may call this route, but not load the transformer with it
            if time.monotonic() - self._checked_s >= _FRESH_S:
                self._is_transformer_ready = await self._call_transformer()
                self._checked_s = time.monotonic()
            return self._is_transformer_ready

    async def _call_transformer(self) -> bool:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                response, _ = await self._transformer.read("GET", "/readyz", {})
        except (PleuraError, TimeoutError):
            return False
        return response.status_code == HTTPStatus.OK
