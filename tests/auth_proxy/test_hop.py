"""The hop to the transformer, when the transformer misbehaves."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from auth_proxy.hop import Hop, HopFailed

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def hop_to(answer: Answer) -> AsyncIterator[Hop]:
    """A hop to a server that does with each connection what it is told."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    hop = Hop(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", 4)
    async with server:
        yield hop
        hop.close()


async def ask(hop: Hop, content: bytes | AsyncIterator[bytes] = b"") -> bytes:
    """Ask and read the whole answer."""
    async with hop.ask("POST", "/", {}, content) as response:
        return b"".join([chunk async for chunk in response.chunks()])


async def once(*chunks: bytes) -> AsyncIterator[bytes]:
    """A body that can be read once."""
    for chunk in chunks:
        yield chunk


async def test_connections_are_kept() -> None:
    """One after another, requests share a connection."""
    connections = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(OK)

    async with hop_to(answer) as hop:
        assert [await ask(hop) for _ in range(3)] == [b"ok"] * 3
    assert len(connections) == 1


async def test_a_kept_connection_that_was_closed_costs_nothing() -> None:
    """The request is sent again over a new one."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await writer.drain()
        await reader.readuntil(b"\r\n\r\n")

    async with hop_to(answer) as hop:
        assert [await ask(hop) for _ in range(4)] == [b"ok"] * 4


async def test_what_can_be_sent_once_goes_over_a_new_connection() -> None:
    """A body that is read as it is sent never meets a connection that was closed meanwhile."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"chunked" in head:
            await reader.readuntil(b"0\r\n\r\n")
        writer.write(OK)
        await writer.drain()
        await reader.readuntil(b"\r\n\r\n")

    async with hop_to(answer) as hop:
        assert await ask(hop) == b"ok"
        assert [await ask(hop, once(b"a", b"b")) for _ in range(3)] == [b"ok"] * 3


@pytest.mark.parametrize("given", [b"", OK.replace(b": 2", b": 5"), b"nonsense\r\n\r\n", OK[:-6]])
async def test_a_broken_answer_is_said_and_not_asked_for_again(given: bytes) -> None:
    """A new connection that breaks off, before or within an answer, is a failure."""
    asked = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(given)

    async with hop_to(answer) as hop:
        with pytest.raises(HopFailed):
            await ask(hop, once(b"a", b"b"))
    assert len(asked) == 1


async def test_an_answer_in_the_middle_of_a_body_is_read() -> None:
    """A transformer that refuses a body before its end is heard."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK.replace(b"200 OK", b"413 No"))

    async with hop_to(answer) as hop, hop.ask("POST", "/", {}, once(*[b"a" * 1000] * 5)) as response:
        assert response.status_code == 413


async def test_a_request_that_is_given_up_does_not_spoil_the_next() -> None:
    """Its connection is closed, and the next answer is its own."""
    release = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if not release.is_set():
            release.set()
            await asyncio.sleep(0.2)
            writer.write(OK.replace(b"ok", b"no"))
        writer.write(OK)

    async with hop_to(answer) as hop:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await ask(hop)
        assert await ask(hop) == b"ok"


async def test_nobody_there_is_said() -> None:
    """A connection that is refused is a failure."""
    with pytest.raises(HopFailed):
        await ask(Hop("http://127.0.0.1:1", 4))
