"""The hop to a service behind us: HTTP/1.1 over kept connections, read by llhttp.

httpx cost more processor time for this hop than all the checks of the proxy together (measured: about 400
requests per processor second with it, over 1,000 without), urllib3 in a thread a quarter of what a cached
answer costs the transformer; they stay where speed does not matter.
"""

import asyncio
import re
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httptools

_CONNECT_TIMEOUT_S: Final = 2.0
_IDLE_TIMEOUT_S: Final = 3.0
_BUFFER_BYTES: Final = 2**18
_MAX_FRAME_BYTES: Final = 65536
_JOINED_BYTES: Final = 65536
_FIRST_FINAL_STATUS: Final = 200
_ODD: Final = re.compile(r"[^\t\x20-\x7e\x80-\xff]")
Content = bytes | AsyncIterator[bytes]


class HopFailed(Exception):
    """The service does not accept the connection, or breaks it off, or what it says is no HTTP."""


class _Stale(HopFailed):
    """A kept connection was closed before anything of an answer came."""


class _Answer:
    """What has arrived of the answer to one request; its ``on_`` methods are called by the parser."""

    def __init__(self, verb: str) -> None:
        self.status, self.headers = 0, dict[str, str]()
        self.parts, self.buffered = deque[bytes](), 0
        self.has_head, self.is_complete, self.is_reusable = False, False, False
        self._is_bare, self._fed, self._body = verb == "HEAD", 0, 0
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Read on.

        Raises:
            HopFailed: It is no HTTP, more comes than the answer, or head, frames of chunks and trailers are
                out of all proportion to the body.
        """
        if self.is_complete:
            raise HopFailed("more than an answer came")
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise HopFailed("the answer is no HTTP") from error
        if self._fed - self._body > _MAX_FRAME_BYTES + self._body:
            raise HopFailed("the answer is more frame than body")

    @property
    def has_begun(self) -> bool:
        """Whether anything of it has come."""
        return self._fed > 0

    def take(self) -> bytes:
        """Give the part of the body that came first."""
        part = self.parts.popleft()
        self.buffered -= len(part)
        return part

    def on_message_begin(self) -> None:
        """Note that another answer begins; only what is not final may stand before one."""
        if self.has_head:
            raise HopFailed("more than an answer came")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, and no trailer; of several of a name the last counts."""
        if not self.has_head:
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1").strip(" \t")

    def on_headers_complete(self) -> None:
        """Read the status; an answer that is not final, and its headers, are forgotten."""
        self.status = self._parser.get_status_code()
        if self.status < _FIRST_FINAL_STATUS:
            self.headers.clear()
            return
        self.has_head, self.is_complete = True, self._is_bare
        self.is_reusable = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        if self._is_bare:
            raise HopFailed("a body came that was not asked for")
        self.parts.append(body)
        self.buffered += len(body)
        self._body += len(body)

    def on_message_complete(self) -> None:
        """Note the end of the answer."""
        self.is_complete = self.has_head


class Connection(asyncio.Protocol):
    """One connection, over which one request after the other is answered."""

    def __init__(self) -> None:
        self.is_fresh, self.idle_since_s = True, 0.0
        self._transport: Any = None
        self._answer: _Answer | None = None
        self._is_sent, self._is_ended, self._is_full, self._is_paused = True, False, False, False
        self._failure: HopFailed | None = None
        self._news: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Read on; what comes while nothing is asked ends the connection."""
        if self._answer is None or self._failure:
            self.close()
            return
        try:
            self._answer.feed(data)
        except HopFailed as error:
            self._failure = error
        if self._answer.buffered > _BUFFER_BYTES and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()
        self._tell()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end."""
        self._is_ended = True
        self._tell()

    def pause_writing(self) -> None:
        """Note that the service does not read as fast as we write."""
        self._is_full = True

    def resume_writing(self) -> None:
        """Note that it does again."""
        self._is_full = False
        self._tell()

    @property
    def is_usable(self) -> bool:
        """Whether another request can go over it."""
        is_recent = asyncio.get_running_loop().time() - self.idle_since_s < _IDLE_TIMEOUT_S
        return is_recent and not self._is_ended and not self._transport.is_closing()

    @property
    def has_heard(self) -> bool:
        """Whether anything of an answer has come to the last question."""
        return self._answer is not None and self._answer.has_begun

    def close(self) -> None:
        """Close it at once, whatever is on its way."""
        self._transport.abort()

    def finish(self) -> bool:
        """Say whether request and answer are over, both to the end; then it is as new."""
        answer, self._answer = self._answer, None
        if answer is None or not (self._is_sent and answer.is_complete and answer.is_reusable):
            return False
        self.is_fresh, self.idle_since_s = False, asyncio.get_running_loop().time()
        self._read_on()
        return not (answer.parts or self._failure or self._is_ended)

    async def ask(self, verb: str, head: bytes, content: Content, length: int | None) -> _Answer:
        """Send a request; give its answer as soon as its head is there.

        Args:
            verb: The method; an answer to HEAD has no body.
            head: All up to the empty line.
            content: The body. What the service answers in the middle of it is read all the same.
            length: Of a body that comes bit by bit; None where it goes in chunks.

        Raises:
            HopFailed: The connection ended, or what came is no HTTP.
        """
        self._answer, self._is_sent = _Answer(verb), False
        if isinstance(content, bytes):
            self._write(head, content)
            self._is_sent = True
        else:
            self._write(head)
            self._is_sent = await self._send(content, length, self._answer)
        while not self._answer.has_head:
            await self._arrival()
        return self._answer

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the body of the answer.

        Raises:
            HopFailed: It breaks off.
        """
        answer = self._answer
        while answer is not None and (answer.parts or not answer.is_complete):
            if answer.parts:
                yield answer.take()
            else:
                self._read_on()
                await self._arrival()

    async def _send(self, content: AsyncIterator[bytes], length: int | None, answer: _Answer) -> bool:
        """Send a body bit by bit; give whether all of it went out."""
        sent = 0
        async for chunk in content:
            if not chunk:
                continue
            sent += len(chunk)
            framed = (chunk,) if length is not None else (b"%x\r\n" % len(chunk), chunk, b"\r\n")
            self._write(*framed)
            while self._is_full and not (self._is_ended or answer.has_head):
                await self._arrival()
            if self._is_ended or self._is_full:
                return False
        if length is None:
            self._write(b"0\r\n\r\n")
        return length in (None, sent)

    def _write(self, *parts: bytes) -> None:
        # not by ``writelines``: asyncio's of Python 3.12 and 3.13 spins on an empty part, and pauses nobody
        if sum(map(len, parts)) <= _JOINED_BYTES:
            parts = (b"".join(parts),)
        if not self._is_ended:
            with suppress(RuntimeError):  # uvloop's, for one that is closing: its end will be told
                for part in parts:
                    self._transport.write(part)

    def _read_on(self) -> None:
        if self._is_paused and not self._is_ended:
            self._is_paused = False
            self._transport.resume_reading()

    async def _arrival(self) -> None:
        """Wait until something has happened."""
        if self._failure:
            raise self._failure
        if self._is_ended:
            raise HopFailed("the connection ended")
        self._news = asyncio.get_running_loop().create_future()
        try:
            await self._news
        finally:
            self._news = None

    def _tell(self) -> None:
        if self._news and not self._news.done():
            self._news.set_result(None)


@dataclass(frozen=True)
class Response:
    """The head of an answer, its headers by name in lower case, and its body as it arrives."""

    status_code: int
    headers: Mapping[str, str]
    connection: Connection

    def chunks(self) -> AsyncIterator[bytes]:
        """Give the body.

        Raises:
            HopFailed: It breaks off.
        """
        return self.connection.chunks()


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
            self._idle.pop().close()

    @asynccontextmanager
    async def ask(
        self, verb: str, target: str, headers: Mapping[str, str], content: Content = b""
    ) -> AsyncIterator[Response]:
        """Send a request; give its answer as soon as its head is there.

        A kept connection may have been closed while the request was on its way; then it is sent again,
        once, over a new one. A body that can be read only once goes over a new one to begin with.

        Raises:
            HopFailed: The service does not accept the connection, or breaks it off.
            ValueError: A header, or the target, would end its line.
        """
        lines, length = [("host", self._authority), *headers.items()], None
        if isinstance(content, bytes):
            if content or verb not in ("GET", "HEAD"):
                lines.append(("content-length", str(len(content))))
        elif "content-length" in headers:
            length = int(headers["content-length"])
        else:
            lines.append(("transfer-encoding", "chunked"))
        head = _head(verb, target, lines)
        kept = self._kept() if isinstance(content, bytes) else None
        connection = kept or await self._connect()
        try:
            try:
                answer = await _exchange(connection, verb, head, content, length)
            except _Stale:
                connection.close()
                connection = await self._connect()
                answer = await _exchange(connection, verb, head, content, length)
            yield Response(answer.status, answer.headers, connection)
        finally:
            self._give_back(connection)

    def _kept(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
            connection.close()
        return None

    def _give_back(self, connection: Connection) -> None:
        if connection.finish() and len(self._idle) < self._most_idle:
            self._idle.append(connection)
        else:
            connection.close()

    async def _connect(self) -> Connection:
        """Connect to the first address of the host that answers in time."""
        loop, failure = asyncio.get_running_loop(), OSError("the host has no address")
        name = self._host if self._tls else None
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except OSError as error:  # TimeoutError is one
            raise HopFailed("the host is not known") from error
        for *_, address in found:
            try:
                async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                    _, connection = await loop.create_connection(
                        Connection, str(address[0]), self._port, ssl=self._tls, server_hostname=name
                    )
            except OSError as error:
                failure = error
            else:
                return connection
        raise HopFailed("no connection") from failure


def _head(verb: str, target: str, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [f"{verb} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    if any(_ODD.search(line) for line in lines) or lines[0].count(" ") != 2:
        raise ValueError("a line of the request's head would not be one")
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1")


async def _exchange(
    connection: Connection, verb: str, head: bytes, content: Content, length: int | None
) -> _Answer:
    was_kept = not connection.is_fresh
    try:
        return await connection.ask(verb, head, content, length)
    except HopFailed as error:
        if was_kept and not connection.has_heard:
            raise _Stale("a kept connection was closed") from error
        raise
