"""HTTP/1.1 client for one address, on aiohttp: the connections to a service behind ours.

httpx and urllib3 cost several times the processor time per request. They stay where speed does not matter.
"""

import io
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from types import SimpleNamespace
from typing import Final, Self
from urllib.parse import urlsplit

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

_CONNECT_TIMEOUT_S: Final = 2.0
_IDLE_TIMEOUT_S: Final = 3.0
_LARGE_BYTES: Final = 2**20
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e]*")
_TARGET: Final = re.compile(r"[\x21-\x7e]+")
_AUTOMATIC_HEADERS: Final = ("accept", "accept-encoding", "content-type", "user-agent")
_WITHOUT_BODY: Final = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
Content = bytes | AsyncIterator[bytes]


class HttpFailed(Exception):
    """The service does not accept the connection, closes it too early, or does not send valid HTTP."""


@dataclass(frozen=True)
class Response:
    """The head of a response, its headers by name in lower case, and its body as it arrives."""

    status_code: int
    headers: Mapping[str, str]
    body: aiohttp.StreamReader
    has_known_end: bool

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives, without decompression.

        Raises:
            HttpFailed: The service closes the connection before the end of the body, or at a point that may
                not be its end.
        """
        try:
            async for chunk in self.body.iter_any():
                yield chunk
        except (aiohttp.ClientError, HttpProcessingError) as error:
            raise HttpFailed("the body of the response broke off") from error
        if not self.has_known_end:
            raise HttpFailed("the response does not say where its body ends")


class _ConnectionHandler(ResponseHandler):
    def is_connected(self) -> bool:
        """Tell whether the connection can carry a request; not after bytes that no request asked for."""
        return super().is_connected() and not self.should_close


class HttpClient:
    """Connections to one address, kept open between requests.

    Requests follow no redirect, keep no cookie, and use no proxy of the environment. They carry the caller's
    headers only. The caller limits the time of a request with ``asyncio.timeout``.

    Args:
        url: Scheme, host and port of the address.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        # once: to read the certificates takes 40 ms, in which the event loop serves no request
        self._tls = ssl.create_default_context() if parts.scheme == "https" else True
        self._kept: aiohttp.ClientSession | None = None
        self._single: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Return the client, whose connections close at the end of the block."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        for session in (self._kept, self._single):
            if session is not None:
                await session.close()

    @asynccontextmanager
    async def request(
        self, verb: str, target: str, headers: Mapping[str, str], content: Content = b""
    ) -> AsyncIterator[Response]:
        """Send a request, and yield the response as soon as its head has arrived.

        The service may close a kept connection while a request is on its way. The request then goes out once
        more, over a new connection. An iterator can be read only once, so it always goes over a new one.

        Raises:
            HttpFailed: The service does not accept the connection, or closes it before the end.
            ValueError: The target or a header holds a character that may not stand there.
        """
        _require_valid_head(target, headers)
        # encoded: yarl would rewrite the target, which must stay as it was signed
        call = _Call(verb, URL(self._origin + target, encoded=True), headers)
        async with AsyncExitStack() as stack:
            try:
                if isinstance(content, bytes):
                    response = await self._send_bytes(call, content)
                    stack.callback(response.release)
                else:
                    response = await self._send_stream(call, content)
                    stack.callback(response.close)  # release would wait until the rest of the body is sent
            except aiohttp.ClientError as error:
                raise HttpFailed("the service does not answer") from error
            yield Response(
                response.status, _read_headers(response), response.content, _has_known_end(verb, response)
            )

    async def _send_bytes(self, call: "_Call", content: bytes) -> aiohttp.ClientResponse:
        connection = SimpleNamespace(is_reused=False)
        try:
            return await call.send(self._open_kept(), _as_payload(content), connection)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            # a service that has begun to respond has handled the request
            if not connection.is_reused or _has_begun_response(error):
                raise
        # aiohttp itself would send only idempotent requests again (docs/decisions/0013)
        return await call.send(self._open_single(), _as_payload(content))

    async def _send_stream(self, call: "_Call", content: AsyncIterator[bytes]) -> aiohttp.ClientResponse:
        failures: list[Exception] = []

        async def read_content() -> AsyncIterator[bytes]:
            try:
                async for chunk in content:
                    yield chunk
            except Exception as error:  # the caller's own failure: aiohttp hides it in one of its own
                failures.append(error)
                raise

        try:
            return await call.send(self._open_single(), read_content())
        except aiohttp.ClientError:
            if failures:
                raise failures[0] from None
            raise

    def _open_kept(self) -> aiohttp.ClientSession:
        # made on first use: a session belongs to the event loop it is made on
        if self._kept is None:
            # limit: aiohttp would allow 100 connections, but the callers have limits of their own
            connector = aiohttp.TCPConnector(
                ssl=self._tls, limit=0, use_dns_cache=False, keepalive_timeout=_IDLE_TIMEOUT_S
            )
            self._kept = _open_session(connector)
        return self._kept

    def _open_single(self) -> aiohttp.ClientSession:
        if self._single is None:
            connector = aiohttp.TCPConnector(ssl=self._tls, limit=0, use_dns_cache=False, force_close=True)
            self._single = _open_session(connector)
        return self._single


@dataclass(frozen=True)
class _Call:
    verb: str
    url: URL
    headers: Mapping[str, str]

    async def send(
        self, session: aiohttp.ClientSession, data: object, connection: SimpleNamespace | None = None
    ) -> aiohttp.ClientResponse:
        return await session.request(
            self.verb,
            self.url,
            headers=self.headers,
            data=data,
            allow_redirects=False,
            trace_request_ctx=connection,
        )


def _as_payload(content: bytes) -> bytes | io.BytesIO | None:
    # aiohttp warns of large bytes, since one write of them holds up the event loop
    return io.BytesIO(content) if len(content) > _LARGE_BYTES else content or None


def _open_session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    connector._factory = partial(_ConnectionHandler, loop=connector._loop)  # type: ignore[assignment]  # a subclass
    trace = aiohttp.TraceConfig()
    # only a kept connection can have ended before the request reached the service
    trace.on_connection_reuseconn.append(_note_reuse)
    # aiohttp follows redirects, keeps cookies, decompresses and adds headers by default (docs/decisions/0013)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=_AUTOMATIC_HEADERS,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S),
        trace_configs=[trace],
    )


async def _note_reuse(session: object, context: SimpleNamespace, parameters: object) -> None:
    if context.trace_request_ctx is not None:
        context.trace_request_ctx.is_reused = True


def _has_begun_response(error: Exception) -> bool:
    """Tell whether a part of a response arrived before the connection ended."""
    # aiohttp gives what it has parsed of a response in place of a text
    return isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str)


def _has_known_end(verb: str, response: aiohttp.ClientResponse) -> bool:
    """Tell whether the response says where its body ends, other than with the connection."""
    has_none = verb == "HEAD" or response.status in _WITHOUT_BODY
    # a body that ends with its connection may have been cut short
    return has_none or "content-length" in response.headers or "transfer-encoding" in response.headers


def _read_headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.raw_headers}


def _require_valid_head(target: str, headers: Mapping[str, str]) -> None:
    is_valid = all(_TOKEN.fullmatch(name) and _VALUE.fullmatch(value) for name, value in headers.items())
    if not (is_valid and _TARGET.fullmatch(target)):
        raise ValueError("the head of the request holds an invalid character")
