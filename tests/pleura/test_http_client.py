"""The HTTP client, with services that misbehave."""

import asyncio
import gzip
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager

import pytest

from pleura.errors import TooLarge
from pleura.http_client import HttpClient, HttpFailed

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[int]:
    """A server that does with each connection what it is told; gives its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@asynccontextmanager
async def swallowing(host: str, port: int) -> AsyncIterator[None]:
    """An address that accepts no connection and refuses none: its queue is full."""
    with ExitStack() as held:
        listener = held.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(8):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((host, port))
        await asyncio.sleep(0.05)
        yield


@asynccontextmanager
async def client_to(answer: Answer) -> AsyncIterator[HttpClient]:
    """A client of such a server."""
    async with serving(answer) as port, HttpClient(f"http://127.0.0.1:{port}") as client:
        yield client


async def ask(client: HttpClient, content: bytes | AsyncIterator[bytes] = b"") -> bytes:
    """Ask and read the whole answer."""
    async with client.request("POST", "/", {}, content) as response:
        return b"".join([chunk async for chunk in response.chunks()])


async def write_endlessly(writer: asyncio.StreamWriter, first: bytes, more: bytes) -> None:
    """Write the same again and again, until the other end has had enough."""
    writer.write(first)
    while not writer.is_closing():
        writer.write(more)
        await asyncio.sleep(0)


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

    async with client_to(answer) as client:
        assert [await ask(client) for _ in range(3)] == [b"ok"] * 3
    assert len(connections) == 1


async def test_a_kept_connection_that_was_closed_costs_nothing() -> None:
    """The request is sent again over a new one."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await writer.drain()
        await reader.readuntil(b"\r\n\r\n")

    async with client_to(answer) as client:
        assert [await ask(client) for _ in range(4)] == [b"ok"] * 4


async def test_what_can_be_sent_once_goes_over_a_new_connection() -> None:
    """A body that is read as it is sent never meets a connection that was closed meanwhile."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"chunked" in head:
            await reader.readuntil(b"0\r\n\r\n")
        writer.write(OK)
        await writer.drain()
        await reader.readuntil(b"\r\n\r\n")

    async with client_to(answer) as client:
        assert await ask(client) == b"ok"
        assert [await ask(client, once(b"a", b"b")) for _ in range(3)] == [b"ok"] * 3


@pytest.mark.parametrize("given", [b"", OK.replace(b": 2", b": 5"), b"nonsense\r\n\r\n", OK[:-6]])
async def test_a_broken_answer_is_said_and_not_asked_for_again(given: bytes) -> None:
    """A new connection that breaks off, before or within an answer, is a failure."""
    asked = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(given)

    async with client_to(answer) as client:
        with pytest.raises(HttpFailed):
            await ask(client, once(b"a", b"b"))
    assert len(asked) == 1


async def test_an_answer_in_the_middle_of_a_body_is_read() -> None:
    """A transformer that refuses a body before its end is heard."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK.replace(b"200 OK", b"413 No"))

    async with (
        client_to(answer) as client,
        client.request("POST", "/", {}, once(*[b"a" * 1000] * 5)) as response,
    ):
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

    async with client_to(answer) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await ask(client)
        assert await ask(client) == b"ok"


async def test_nobody_there_is_said() -> None:
    """A connection that is refused is a failure."""
    async with HttpClient("http://127.0.0.1:1") as client:
        with pytest.raises(HttpFailed):
            await ask(client)


async def test_an_answer_to_head_has_no_body() -> None:
    """The length that it announces is the object's, nothing follows, and the connection is kept."""
    connections = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nETag: "a"\r\n\r\n')

    async with client_to(answer) as client:
        for _ in range(2):
            async with client.request("HEAD", "/", {}) as response:
                assert response.headers["content-length"] == "1000"
                assert [chunk async for chunk in response.chunks()] == []
    assert len(connections) == 1


async def test_an_interim_answer_is_passed_over() -> None:
    """100 Continue is no answer, and none of its headers is one of the answer's."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 100 Continue\r\nx-interim: 1\r\n\r\n" + OK)

    async with client_to(answer) as client, client.request("POST", "/", {}) as response:
        assert (response.status_code, "x-interim" in response.headers) == (200, False)
        assert b"".join([chunk async for chunk in response.chunks()]) == b"ok"


@pytest.mark.parametrize("pause_s", [0, 0.05])
async def test_what_comes_behind_an_answer_is_nobodys_answer(pause_s: float) -> None:
    """A service that says more than it was asked for loses the connection; the next answer is its own."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(OK)
            await asyncio.sleep(pause_s)
            writer.write(OK.replace(b"\r\n\r\nok", b"\r\n\r\nno"))

    async with client_to(answer) as client:
        for _ in range(3):
            assert await ask(client) == b"ok"
            await asyncio.sleep(2 * pause_s)


async def test_a_head_without_end_is_not_kept_in_memory() -> None:
    """A service that sends headers for ever has failed."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await write_endlessly(writer, b"HTTP/1.1 200 OK\r\n", b"x-more: " + b"a" * 1000 + b"\r\n")

    async with client_to(answer) as client:
        with pytest.raises(HttpFailed):
            await ask(client)


async def test_a_body_of_no_length_is_no_whole_answer() -> None:
    """What ends with the connection may have been cut there: nobody can tell."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nsome")

    async with client_to(answer) as client:
        with pytest.raises(HttpFailed):
            await ask(client)


@pytest.mark.parametrize("odd", [{"x": "a\r\ny: b"}, {"x\n": "a"}, {"x": "a\0"}, {"x": "\u0100"}])
async def test_no_header_ends_its_line(odd: dict[str, str]) -> None:
    """What a caller wrote cannot become another header, or another request."""
    client = HttpClient("http://127.0.0.1:1")
    with pytest.raises(ValueError, match="head"):
        async with client.request("GET", "/", odd):
            pass
    with pytest.raises(ValueError, match="head"):
        async with client.request("GET", "/ HTTP/1.1\r\nx:", {}):
            pass


async def test_a_large_answer_waits_until_it_is_read() -> None:
    """Of what nobody reads, only a little is held; all of it arrives in the end."""
    size, sent = 8 * 2**20, 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        for _ in range(size // 65536):
            writer.write(bytes(65536))
            await writer.drain()
            sent += 65536

    async with client_to(answer) as client, client.request("GET", "/", {}) as response:
        await asyncio.sleep(0.3)
        assert sent < size
        assert sum([len(chunk) async for chunk in response.chunks()]) == size


async def test_a_connection_is_kept_after_a_large_answer() -> None:
    """However much of an answer came at once, the next one over its connection is read."""
    connections, body = [], bytes(2**18 + 1000)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    async with client_to(answer) as client, asyncio.timeout(10):
        for _ in range(20):
            async with client.request("POST", "/", {}) as response:
                await asyncio.sleep(0.01)
                assert b"".join([chunk async for chunk in response.chunks()]) == body
    assert len(connections) == 1


async def test_a_refusal_is_heard_while_nobody_takes_the_body() -> None:
    """A service that answers and reads no further does not hold up its own answer."""
    never = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK.replace(b"200 OK", b"413 No"))
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport has it
        await never.wait()

    async with client_to(answer) as client, asyncio.timeout(5):
        async with client.request("POST", "/", {}, once(*[bytes(2**20)] * 64)) as response:
            assert response.status_code == 413
        never.set()


@pytest.mark.parametrize("announced", ["3", "1"])
async def test_a_body_of_another_length_than_announced_is_not_answered(announced: str) -> None:
    """Its connection is closed: what follows on it would be read as a part of it."""
    heads = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)
        await reader.read()

    async with client_to(answer) as client:
        for _ in range(2):
            async with client.request("POST", "/", {"content-length": announced}, once(b"ab")):
                pass
        assert await ask(client) == b"ok"
    assert len(heads) == 3


async def test_trailers_are_no_headers_and_have_a_bound() -> None:
    """What stands behind a body changes nothing that was said before it, and is not kept in memory."""
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\netag: a\r\n\r\n2\r\nok\r\n0\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(chunked + b"etag: b\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await write_endlessly(writer, chunked, b"x-more: " + b"a" * 1000 + b"\r\n")

    async with client_to(answer) as client:
        async with client.request("GET", "/", {}) as response:
            assert b"".join([chunk async for chunk in response.chunks()]) == b"ok"
            assert response.headers["etag"] == "a"
        with pytest.raises(HttpFailed):
            await ask(client)


async def test_an_endless_response_ends_with_the_callers_timeout() -> None:
    """Chunks of one byte keep the event loop busy, but not so busy that the timeout does not come."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        await write_endlessly(writer, head, b"1\r\na\r\n" * 1000)

    async with client_to(answer) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await ask(client)


async def test_the_request_carries_the_callers_headers_and_no_others() -> None:
    """A redirect is an answer like any other, a cookie is not sent back, and a body stays compressed."""
    heads = []
    compressed = gzip.compress(b"ok")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            heads.append(head)
            writer.write(
                b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\nset-cookie: a=b\r\ncontent-encoding: gzip\r\n"
                b"content-length: %d\r\n\r\n%b" % (len(compressed), compressed)
            )

    async with client_to(answer) as client:
        for _ in range(2):
            async with client.request("GET", "/a%2Fb/../%e4?c=%20", {"X-One": "1"}) as response:
                assert response.status_code == 302
                assert b"".join([chunk async for chunk in response.chunks()]) == compressed
    for head in heads:
        request_line, *lines = head.decode().strip().split("\r\n")
        assert request_line == "GET /a%2Fb/../%e4?c=%20 HTTP/1.1"
        assert sorted(line.partition(":")[0] for line in lines) == ["Host", "X-One"]


async def test_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A radiograph goes to the configured address only."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)

    async with client_to(answer) as client:
        assert await ask(client) == b"ok"


async def test_a_failure_of_the_body_is_raised_as_it_is() -> None:
    """A body that the proxy refuses while it streams keeps the proxy's own error."""

    async def failing() -> AsyncIterator[bytes]:
        yield b"a"
        raise TooLarge("the body is too large")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with client_to(answer) as client:
        with pytest.raises(TooLarge):
            await ask(client, failing())


async def test_a_large_body_arrives_whole() -> None:
    """More than a mebibyte, also when the service closes the kept connection and the body goes out again."""
    body = bytes(range(256)) * 2**13
    arrived = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.append(await reader.readexactly(len(body)))
        writer.write(OK)
        await reader.readuntil(b"\r\n\r\n")

    async with client_to(answer) as client:
        assert [await ask(client, body) for _ in range(2)] == [b"ok"] * 2
    assert arrived == [body] * 2


async def test_blanks_around_a_header_are_not_its_own() -> None:
    """RFC 9110 section 5.5: they are left out before it is looked at."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length:  2 \t\r\nX-Empty: \r\n\r\nok")

    async with client_to(answer) as client, client.request("GET", "/", {}) as response:
        assert (response.headers["content-length"], response.headers["x-empty"]) == ("2", "")
        assert b"".join([chunk async for chunk in response.chunks()]) == b"ok"


async def test_what_was_half_answered_is_not_asked_again() -> None:
    """On a kept connection, too: the service has done what it was asked."""
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while await reader.readuntil(b"\r\n\r\n"):
            asked += 1
            if asked == 2:
                writer.write(b"HTTP/1.1 201 Created\r\nloca")
                return
            writer.write(OK)

    async with client_to(answer) as client:
        assert await ask(client) == b"ok"
        with pytest.raises(HttpFailed):
            await ask(client)
    assert asked == 2


async def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host is there as long as one of its addresses is, though another swallows what is sent to it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)

    async def two(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        assert host == "localhost"
        return [(2, 1, 6, "", ("127.0.0.2", port)), (2, 1, 6, "", ("127.0.0.1", port))]

    async with serving(answer) as there, swallowing("127.0.0.2", there):
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", two)
        async with HttpClient(f"http://localhost:{there}") as client:
            assert await ask(client) == b"ok"


async def test_a_kept_connection_costs_nothing() -> None:
    """Nothing is left to be written once it was answered; asyncio's ``writelines`` of 3.12 and 3.13 spins."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(OK)

    async with client_to(answer) as client:
        assert await ask(client) == b"ok"
        began_s = time.process_time()
        await asyncio.sleep(0.5)
        assert time.process_time() - began_s < 0.25
