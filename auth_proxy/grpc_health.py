"""Health over gRPC without a token. The proxy answers it itself, from what it knows already."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from auth_proxy.allow_list import Route
from auth_proxy.readiness import Readiness
from auth_proxy.request_body import SlowRequest
from auth_proxy.tokens.errors import NoToken
from pleura.contract import MODEL_NAME
from pleura.errors import InvalidRequest, Overloaded
from pleura.serving.grpc_health import answer_check, write_text_message
from pleura.serving.health import HealthChecks

_TRUE: Final = b"\x08\x01"
_FALSE: Final = b""
_MODEL_READY: Final = write_text_message(MODEL_NAME)
_MAX_READS: Final = 8
_READ_S: Final = 1.0


class GrpcHealth:
    """Answers the methods that need no token."""

    def __init__(self, health: HealthChecks, readiness: Readiness) -> None:
        self._health, self._readiness, self._reads = health, readiness, 0

    async def answer(self, route: Route, messages: AsyncIterator[bytes]) -> bytes:
        """Answer a call.

        Raises:
            NoToken: The call asks for more than the readiness of the model by its name.
            NotFound: The check is about a service that the server does not have.
        """
        # the requests of both are empty, so they need not arrive
        if route.name == "grpc_ServerLive":
            return _TRUE if self._health.liveness()[0] else _FALSE
        if route.name == "grpc_ServerReady":
            return _TRUE if await self._is_ready() else _FALSE
        request = await self._read(messages)
        if route.name == "grpc_Check":
            return answer_check(request, await self._is_ready())
        # with a version it would tell everybody which version is served
        if request != _MODEL_READY:
            raise NoToken("a bearer token is needed")
        return _TRUE if await self._is_ready() else _FALSE

    async def _is_ready(self) -> bool:
        return (await self._readiness.check())[0]

    async def _read(self, messages: AsyncIterator[bytes]) -> bytes:
        """Read the message. Few may arrive at a time, and only for a moment: a stranger decides its size."""
        if self._reads >= _MAX_READS:
            raise Overloaded("too many health checks arrive at once")
        self._reads += 1
        try:
            async with asyncio.timeout(_READ_S):
                return await anext(messages)
        except TimeoutError as error:
            raise SlowRequest("the message did not arrive in time") from error
        except StopAsyncIteration as error:
            raise InvalidRequest("the call holds no message") from error
        finally:
            self._reads -= 1
