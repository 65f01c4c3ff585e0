"""Whether the process lives, and whether it could answer: the keys are known and the transformer is ready."""

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
    """ASGI endpoint: the process can do its work."""

    def __init__(self, vitals: HealthChecks) -> None:
        self._vitals = vitals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        is_live, parts = self._vitals.liveness()
        await JSONResponse({"live": is_live, **parts}, 200 if is_live else 503)(scope, receive, send)


class Ready:
    """ASGI endpoint: a good request would be answered; the transformer is asked once a second at most."""

    def __init__(self, authenticator: Authenticator, upstream: TransformerClient, ending: Shutdown) -> None:
        self._authenticator, self._upstream, self._ending = authenticator, upstream, ending
        self._asking, self._asked_s, self._is_upstream_ready = asyncio.Lock(), float("-inf"), False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        parts = {"keys": self._authenticator.is_ready, "transformer": await self._ask()}
        is_ready = all(parts.values()) and not self._ending.has_begun
        READY.set(is_ready)
        await JSONResponse({"ready": is_ready, **parts}, 200 if is_ready else 503)(scope, receive, send)

    async def _ask(self) -> bool:
        async with self._asking:
            if time.monotonic() - self._asked_s >= _FRESH_S:
                self._is_upstream_ready = await self._is_ready()
                self._asked_s = time.monotonic()
            return self._is_upstream_ready

    async def _is_ready(self) -> bool:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                response, _ = await self._upstream.read("GET", "/readyz", {})
        except (PleuraError, TimeoutError):
            return False
        return response.status_code == HTTPStatus.OK
