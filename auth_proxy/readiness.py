"""Whether the proxy can answer requests: it has keys, and the transformer is ready."""

import asyncio
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from auth_proxy.tokens.authenticator import Authenticator
from auth_proxy.transformer_client import TransformerClient
from pleura.errors import PleuraError
from pleura.observability.metrics import READY
from pleura.serving.shutdown import Shutdown

_FRESH_S: Final = 1.0
_TIMEOUT_S: Final = 2.0


class Readiness:
    """The readiness of the proxy. It asks the transformer at most once a second, however many ask here."""

    def __init__(
        self, authenticator: Authenticator, transformer: TransformerClient, shutdown: Shutdown
    ) -> None:
        self._authenticator, self._transformer, self._shutdown = authenticator, transformer, shutdown
        self._lock, self._checked_s, self._is_transformer_ready = asyncio.Lock(), float("-inf"), False

    async def check(self) -> tuple[bool, Mapping[str, bool]]:
        """Say whether requests can be answered, and the state of each part."""
        parts = {"keys": self._authenticator.is_ready, "transformer": await self._check_transformer()}
        is_ready = all(parts.values()) and not self._shutdown.has_begun
        READY.set(is_ready)
        return is_ready, parts

    async def _check_transformer(self) -> bool:
        async with self._lock:
            # everybody may ask, but not load the transformer with it
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
