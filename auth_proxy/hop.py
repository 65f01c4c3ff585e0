"""The hop to the transformer: HTTP/1.1 over kept connections, h11 on asyncio's streams.

httpx cost more processor time for this hop than all the checks of the proxy together (measured: about 400
requests per processor second with it, over 1,000 without); it stays where speed does not matter (the keys).
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import h11

_CONNECT_TIMEOUT_S: Final = 2.0
_IDLE_TIMEOUT_S: Final = 3.0
_CHUNK_BYTES: Final = 65536
_BUFFER_BYTES: Final = 2**18
Content = bytes | AsyncIterator[bytes]


class HopFailed(Exception):
    """The transformer does not accept the connection, or breaks it off."""


class _Stale(HopFailed):
    """A kept connection was closed before anything of an answer came."""


@dataclass
class Connection:
    """One connection, and what h11 knows of it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    state: h11.Connection = field(default_factory=lambda: h11.Connection(h11.CLIENT))
    is_fresh: bool = True
    idle_since_s: float = 0.0

    async def send(self, request: h11.Request, content: Content) -> None:
        """Write a request; what the transformer answers in the middle of it is read all the same."""
        head = self.state.send(request) or b""
        with suppress(ConnectionError, RuntimeError):  # the latter is uvloop's, for one that is closed
            if isinstance(content, bytes):
                body = self.state.send(h11.Data(data=content)) or b"" if content else b""
                self.writer.write(head + body + (self.state.send(h11.EndOfMessage()) or b""))
                return
            self.writer.write(head)
            async for chunk in content:
                self.writer.write(self.state.send(h11.Data(data=chunk)) or b"")
                await self.writer.drain()
            self.writer.write(self.state.send(h11.EndOfMessage()) or b"")

    async def next_event(self) -> h11.Event:
        """Read what comes next.

        Raises:
            HopFailed: The connection ended, or what came is no HTTP.
        """
        try:
            while (event := self.state.next_event()) is h11.NEED_DATA:
                self.state.receive_data(await self.reader.read(_CHUNK_BYTES))
        except (h11.RemoteProtocolError, OSError) as error:
            raise HopFailed("the connection broke") from error
        if isinstance(event, h11.ConnectionClosed) or not isinstance(event, h11.Event):
            raise HopFailed("the connection ended")
        return event

    @property
    def is_usable(self) -> bool:
        """Whether another request can go over it."""
        is_recent = asyncio.get_running_loop().time() - self.idle_since_s < _IDLE_TIMEOUT_S
        return is_recent and not self.reader.at_eof() and not self.writer.is_closing()

    def is_finished(self) -> bool:
        """Whether request and answer are over, both to the end; then it is as new."""
        if self.state.our_state is not h11.DONE or self.state.their_state is not h11.DONE:
            return False
        self.state.start_next_cycle()
        self.is_fresh, self.idle_since_s = False, asyncio.get_running_loop().time()
        return True


@dataclass(frozen=True)
class Response:
    """The head of an answer, and its body as it arrives."""

    status_code: int
    headers: Mapping[str, str]
    connection: Connection

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the body.

        Raises:
            HopFailed: It breaks off.
        """
        while not isinstance(event := await self.connection.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                yield bytes(event.data)


class Hop:
    """Connections to one address; at most ``most_idle`` are kept."""

    def __init__(self, url: str, most_idle: int) -> None:
        parts = urlsplit(url)
        self._host, self._is_tls = parts.hostname or "", parts.scheme == "https"
        self._port = parts.port or (443 if self._is_tls else 80)
        self._authority, self._most_idle = parts.netloc.rpartition("@")[2], most_idle
        self._tls = ssl.create_default_context() if self._is_tls else None
        self._idle: list[Connection] = []

    def close(self) -> None:
        """Close what is kept."""
        while self._idle:
            self._idle.pop().writer.close()

    @asynccontextmanager
    async def ask(
        self, verb: str, target: str, headers: Mapping[str, str], content: Content
    ) -> AsyncIterator[Response]:
        """Send a request; give its answer as soon as its head is there.

        A kept connection may have been closed while the request was on its way; then it is sent again,
        once, over a new one. A body that can be read only once goes over a new one to begin with.

        Raises:
            HopFailed: The transformer does not accept the connection, or breaks it off.
        """
        lines = [("host", self._authority), *headers.items()]
        if isinstance(content, bytes):
            lines.append(("content-length", str(len(content))))
        elif "content-length" not in headers:
            lines.append(("transfer-encoding", "chunked"))
        raw = [(name.encode(), value.encode("latin-1")) for name, value in lines]
        request = h11.Request(method=verb, target=target, headers=raw)
        kept = self._kept() if isinstance(content, bytes) else None
        connection = kept or await self._connect()
        try:
            try:
                response = await _exchange(connection, request, content)
            except _Stale:
                connection.writer.close()
                connection = await self._connect()
                response = await _exchange(connection, request, content)
            yield response
        finally:
            self._give_back(connection)

    def _kept(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
            connection.writer.close()
        return None

    def _give_back(self, connection: Connection) -> None:
        if len(self._idle) < self._most_idle and connection.is_finished():
            self._idle.append(connection)
        else:
            connection.writer.close()

    async def _connect(self) -> Connection:
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                opened = await asyncio.open_connection(
                    self._host, self._port, ssl=self._tls, limit=_BUFFER_BYTES
                )
        except OSError as error:  # TimeoutError is one
            raise HopFailed("no connection") from error
        return Connection(*opened)


async def _exchange(connection: Connection, request: h11.Request, content: Content) -> Response:
    was_kept = not connection.is_fresh
    try:
        await connection.send(request, content)
        while not isinstance(event := await connection.next_event(), h11.Response):
            pass
    except HopFailed as error:
        if was_kept:
            raise _Stale("a kept connection was closed") from error
        raise
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
    return Response(event.status_code, headers, connection)
