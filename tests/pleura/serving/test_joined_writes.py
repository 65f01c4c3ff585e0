"""Writes that are sent together, over real connections."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pleura.serving.joined_writes import JoinedWrites

Write = Callable[[JoinedWrites], None]


class _Counted:
    """A real transport that knows what it was told to send."""

    def __init__(self, transport: asyncio.BaseTransport, sent: list[bytes]) -> None:
        self._transport, self._sent = transport, sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self._sent.append(data)
        self._transport.write(data)  # type: ignore[attr-defined]


class _Server(asyncio.Protocol):
    def __init__(self, write: Write, sent: list[bytes]) -> None:
        self._write, self._sent = write, sent

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        counted: Any = _Counted(transport, self._sent)
        self._write(JoinedWrites(counted, asyncio.get_running_loop()))


class _Client(asyncio.Protocol):
    def __init__(self) -> None:
        self.parts, self.sent, self.arrival = list[bytes](), list[bytes](), asyncio.Event()
        self.ended = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.parts.append(data)
        self.arrival.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(None)


@asynccontextmanager
async def _connected(write: Write) -> AsyncIterator[_Client]:
    loop, client = asyncio.get_running_loop(), _Client()
    async with asyncio.timeout(10):
        server = await loop.create_server(lambda: _Server(write, client.sent), "127.0.0.1", 0)
        transport, _ = await loop.create_connection(lambda: client, *server.sockets[0].getsockname())
        try:
            yield client
        finally:
            transport.close()
            server.close()


def _in_turn(*parts: bytes) -> Write:
    def write(transport: JoinedWrites) -> None:
        for part in parts:
            transport.write(part)
        transport.close()

    return write


async def test_a_head_and_its_body_are_one_packet() -> None:
    """What is written in one turn of the event loop is sent once."""
    async with _connected(_in_turn(b"head", b"body", b"")) as client:
        await client.ended
        assert client.sent == client.parts == [b"headbody"]


async def test_a_write_that_stays_alone_is_sent() -> None:
    """Nothing waits for a second write that does not come."""
    async with _connected(lambda transport: transport.write(b"head")) as client:
        await client.arrival.wait()
        assert client.parts == [b"head"]


@pytest.mark.parametrize("parts", [[b"1"], [b"1", b"2", b"3"], [b"", b"1"], [b"1", b"2" * 10**7, b"3", b"4"]])
async def test_all_that_is_written_arrives_in_order(parts: list[bytes]) -> None:
    """Closing cuts nothing off, however much is on its way."""
    async with _connected(_in_turn(*parts)) as client:
        await client.ended
        assert b"".join(client.parts) == b"".join(parts)


async def test_what_is_written_after_the_end_goes_nowhere() -> None:
    """As with the transport itself."""

    def write(transport: JoinedWrites) -> None:
        transport.close()
        transport.write(b"late")
        assert transport.is_closing()

    async with _connected(write) as client:
        await client.ended
        await asyncio.sleep(0)
        assert client.sent == client.parts == []
