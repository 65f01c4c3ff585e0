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
    """A server that handles each connection with a function; yields its port."""

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
    """An address that neither accepts nor refuses a connection: its queue is full."""
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
    """Send a request, and read the whole response."""
    async with client.request("POST", "/", {}, content) as response:
        return b"".join([chunk async for chunk in response.chunks()])


async def write_endlessly(writer: asyncio.StreamWriter, first: bytes, more: bytes) -> None:
    """Write the same bytes again and again, until the client closes the connection."""
    writer.write(first)
    while not writer.is_closing():
        writer.write(more)
        await asyncio.sleep(0)


async def once(*chunks: bytes) -> AsyncIterator[bytes]:
    """A body that can be read once."""
    for chunk in chunks:
        yield chunk


async def test_connections_are_kept() -> None:
    """Requests that follow each other share a connection."""
    connections = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(OK)

    async with client_to(answer) as client:
        assert [await ask(client) for _ in range(3)] == [b"ok"] * 3
    assert len(connections) == 1


async def test_a_request_on_a_closed_kept_connection_is_sent_again() -> None:
    """The second try goes over a new connection."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await writer.drain()
        await reader.readuntil(b"\r\n\r\n")

    async with client_to(answer) as client:
        assert [await ask(client) for _ in range(4)] == [b"ok"] * 4


async def test_a_streamed_body_goes_over_a_new_connection() -> None:
    """A body that can be read only once never meets a connection that the service has closed."""

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
async def test_a_broken_response_fails_without_a_second_try(given: bytes) -> None:
    """A new connection that ends before or within a response is a failure."""
    heads = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(given)

    async with client_to(answer) as client:
        with pytest.raises(HttpFailed):
            await ask(client, once(b"a", b"b"))
    assert len(heads) == 1


async def test_a_response_before_the_end_of_the_body_is_read() -> None:
    """The client reads the response of a service that rejects a body before its end."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK.replace(b"200 OK", b"413 No"))

    async with (
        client_to(answer) as client,
        client.request("POST", "/", {}, once(*[b"a" * 1000] * 5)) as response,
    ):
        assert response.status_code == 413


async def test_a_cancelled_request_does_not_spoil_the_next() -> None:
    """The client closes its connection. The next request gets its own response."""
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


async def test_a_refused_connection_fails() -> None:
    """No service listens on the port."""
    async with HttpClient("http://127.0.0.1:1") as client:
        with pytest.raises(HttpFailed):
            await ask(client)


async def test_a_response_to_head_has_no_body() -> None:
    """Its content length is the object's. No body follows, and the connection is kept."""
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


async def test_an_interim_response_is_skipped() -> None:
    """100 Continue is not the response, and its headers are not the response's."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 100 Continue\r\nx-interim: 1\r\n\r\n" + OK)

    async with client_to(answer) as client, client.request("POST", "/", {}) as response:
        assert (response.status_code, "x-interim" in response.headers) == (200, False)
        assert b"".join([chunk async for chunk in response.chunks()]) == b"ok"


@pytest.mark.parametrize("pause_s", [0, 0.05])
async def test_bytes_after_a_response_answer_no_request(pause_s: float) -> None:
    """The client closes a connection on which such bytes came. The next request gets its own response."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(OK)
            await asyncio.sleep(pause_s)
            writer.write(OK.replace(b"\r\n\r\nok", b"\r\n\r\nno"))

    async with client_to(answer) as client:
        for _ in range(3):
            assert await ask(client) == b"ok"
            await asyncio.sleep(2 * pause_s)


async def test_an_endless_head_fails() -> None:
    """The client does not keep endless headers in memory."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await write_endlessly(writer, b"HTTP/1.1 200 OK\r\n", b"x-more: " + b"a" * 1000 + b"\r\n")

    async with client_to(answer) as client:
        with pytest.raises(HttpFailed):
            await ask(client)


async def test_a_body_without_a_known_end_fails() -> None:
    """A body that ends with the connection may be cut short."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nsome")

    async with client_to(answer) as client:
        with pytest.raises(HttpFailed):
            await ask(client)


@pytest.mark.parametrize("odd", [{"x": "a\r\ny: b"}, {"x\n": "a"}, {"x": "a\0"}, {"x": "\u0100"}])
async def test_a_header_cannot_end_its_line(odd: dict[str, str]) -> None:
    """A caller's value cannot become another header, or another request."""
    client = HttpClient("http://127.0.0.1:1")
    with pytest.raises(ValueError, match="head"):
        async with client.request("GET", "/", odd):
            pass
    with pytest.raises(ValueError, match="head"):
        async with client.request("GET", "/ HTTP/1.1\r\nx:", {}):
            pass


async def test_a_large_response_waits_until_it_is_read() -> None:
    """The client buffers only a part of the body. All of it arrives when it is read."""
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


async def test_a_connection_is_kept_after_a_large_response() -> None:
    """The next response over the same connection is read too."""
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


async def test_a_rejection_is_read_while_the_service_reads_nothing() -> None:
    """A service that responds and stops reading the body does not block the client."""
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
async def test_a_body_of_a_wrong_length_ends_its_connection(announced: str) -> None:
    """On a kept connection, the service would read the next request as a part of the body."""
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


async def test_trailers_are_not_headers_and_have_a_limit() -> None:
    """A field after the body changes no header, and endless trailers are not kept in memory."""
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
    """Chunks of one byte do not block the event loop, so that the timeout comes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        await write_endlessly(writer, head, b"1\r\na\r\n" * 1000)

    async with client_to(answer) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await ask(client)


async def test_the_request_carries_the_callers_headers_and_no_others() -> None:
    """The client follows no redirect, returns no cookie, and does not decompress."""
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


async def test_spaces_around_a_header_are_removed() -> None:
    """RFC 9110 section 5.5: they are not a part of the value."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length:  2 \t\r\nX-Empty: \r\n\r\nok")

    async with client_to(answer) as client, client.request("GET", "/", {}) as response:
        assert (response.headers["content-length"], response.headers["x-empty"]) == ("2", "")
        assert b"".join([chunk async for chunk in response.chunks()]) == b"ok"


async def test_a_half_answered_request_is_not_sent_again() -> None:
    """On a kept connection too: the service has already handled the request."""
    request_count = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal request_count
        while await reader.readuntil(b"\r\n\r\n"):
            request_count += 1
            if request_count == 2:
                writer.write(b"HTTP/1.1 201 Created\r\nloca")
                return
            writer.write(OK)

    async with client_to(answer) as client:
        assert await ask(client) == b"ok"
        with pytest.raises(HttpFailed):
            await ask(client)
    assert request_count == 2


async def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """One address of the host never accepts. The client connects to the other."""

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


async def test_an_idle_connection_uses_no_processor_time() -> None:
    """asyncio's ``writelines`` of Python 3.12 and 3.13 spins on an empty part."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(OK)

    async with client_to(answer) as client:
        assert await ask(client) == b"ok"
        began_s = time.process_time()
        await asyncio.sleep(0.5)
        assert time.process_time() - began_s < 0.25
