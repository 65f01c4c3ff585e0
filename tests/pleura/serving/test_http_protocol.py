"""The errors of the HTTP server itself have the form of all errors."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from pleura.local.processes import free_port
from pleura.serving.http_protocol import JsonErrorsProtocol
from tests.support.errors import check_error


@pytest.fixture(scope="module")
def full_server() -> Iterator[int]:
    """The port of a server on which one connection is one too many."""
    port = free_port()
    config = uvicorn.Config(
        PlainTextResponse("hello"),
        port=port,
        http=JsonErrorsProtocol,
        limit_concurrency=1,
        lifespan="off",
        log_config=None,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    while not server.started:
        assert thread.is_alive()
    yield port
    server.should_exit = True
    thread.join()


def test_a_connection_too_many_is_refused_in_json(full_server: int) -> None:
    """The error says when to try again, and its id stands in the header too."""
    answer = httpx.get(f"http://127.0.0.1:{full_server}/")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    check_error(answer.json(), code="overloaded", request_id=answer.headers["x-request-id"])


@pytest.mark.parametrize("raw", [b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x00\xa5"])
def test_bytes_that_are_not_http_are_refused_in_json(full_server: int, raw: bytes) -> None:
    """The whole answer is one error, and the connection is closed."""
    with socket.create_connection(("127.0.0.1", full_server), timeout=10) as connection:
        connection.sendall(raw)
        received = b"".join(iter(lambda: connection.recv(4096), b""))
    answer = httpx.Response(int(received.split()[1]), content=received.partition(b"\r\n\r\n")[2])
    assert answer.status_code == 400
    check_error(answer.json(), error="the request is not valid HTTP", code="invalid_request")
