"""Connections that are slow. Malformed requests stand in ``tests/proof/attacks/test_http.py``."""

import json
import socket
import time

from proof.lab.proxy import Issuer, Proxy, exchange
from proof.lab.stand_in_transformer import Upstream
from tests.support.errors import check_error

POST = b"POST /v2/models/chest-xray/infer HTTP/1.1\r\nHost: a\r\n"


def test_a_slow_head_is_not_waited_for(proxy: Proxy) -> None:
    """A connection that sends its head a byte at a time is closed after some seconds."""
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", proxy.http_port)) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: ")
        connection.settimeout(60)
        assert connection.recv(100) == b""
    assert 5 < time.monotonic() - started < 50


def test_a_slow_body_is_not_waited_for(proxy: Proxy, local_issuer: Issuer) -> None:
    """A body that does not come is answered with 408 when the request's time is over."""
    token = b"Authorization: Bearer " + local_issuer.issue_token().encode()
    head = POST + token + b"\r\nX-Request-Timeout-Ms: 500\r\nContent-Length: 100\r\n\r\n{"
    with socket.create_connection(("127.0.0.1", proxy.http_port)) as connection:
        connection.sendall(head)
        connection.settimeout(10)
        assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")


def test_a_request_in_many_packets_is_one_request(
    proxy: Proxy, upstream: Upstream, local_issuer: Issuer
) -> None:
    """A request in chunks that arrives byte by byte reaches the transformer whole."""
    token = b"Authorization: Bearer " + local_issuer.issue_token().encode()
    request = POST + token + b"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\nX: y\r\n\r\n"
    with socket.create_connection(("127.0.0.1", proxy.http_port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request:
            connection.sendall(bytes([byte]))
        connection.settimeout(10)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert upstream.last[1] == b"12345"


def test_a_trailer_is_not_a_header(proxy: Proxy, upstream: Upstream, local_issuer: Issuer) -> None:
    """A token behind the body lets nobody in, even where it arrives in one packet with the head."""
    trailer = b"Authorization: Bearer " + local_issuer.issue_token().encode()
    request = POST + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n" + trailer + b"\r\n\r\n"
    assert exchange(proxy.http_port, request).startswith(b"HTTP/1.1 401 ")
    assert not upstream.requests


def test_an_upgrade_is_ignored(proxy: Proxy, upstream: Upstream, local_issuer: Issuer) -> None:
    """Without TLS Java's client asks for HTTP/2 by default. Its body is read, and its next request too."""
    token = b"Authorization: Bearer " + local_issuer.issue_token().encode() + b"\r\n"
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAA\r\nUpgrade: h2c\r\n"
    for framing in (
        b"Content-Length: 2\r\n\r\n{}",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ):
        first = POST + upgrade + token + framing
        answer = exchange(proxy.http_port, first + POST + token + b"Connection: close\r\n" + framing)
        assert answer.count(b"HTTP/1.1 200 ") == 2
        assert [body for _, body in upstream.requests[-2:]] == [b"{}", b"{}"]


def test_a_caller_who_expects_it_is_told_to_continue(proxy: Proxy, local_issuer: Issuer) -> None:
    """The body is asked for once the caller is admitted. A caller without a token is refused at once."""
    token = b"Authorization: Bearer " + local_issuer.issue_token().encode() + b"\r\n"
    expecting = b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    with socket.create_connection(("127.0.0.1", proxy.http_port), timeout=10) as connection:
        connection.sendall(POST + token + expecting)
        assert connection.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"{}")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
    with socket.create_connection(("127.0.0.1", proxy.http_port), timeout=10) as connection:
        connection.sendall(POST + expecting)
        assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_a_connection_is_used_again(proxy: Proxy) -> None:
    """Requests that arrive one after the other on one connection are each answered."""
    with socket.create_connection(("127.0.0.1", proxy.http_port), timeout=10) as connection:
        answers = connection.makefile("rb")
        for _ in range(3):
            connection.sendall(b"GET /openapi HTTP/1.1\r\nHost: a\r\n\r\n")
            assert answers.readline() == b"HTTP/1.1 404 Not Found\r\n"
            head = [*iter(answers.readline, b"\r\n")]
            (length,) = (int(line.split()[1]) for line in head if line.startswith(b"content-length:"))
            check_error(json.loads(answers.read(length)), code="not_found")


def test_bytes_that_are_not_http_get_an_error_like_any_other(proxy: Proxy) -> None:
    """The error has a code and a new request id, which the log has too."""
    answer = exchange(proxy.http_port, b"GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    document = json.loads(body)
    check_error(document, error="the request is not valid HTTP", code="invalid_request")
    assert f"x-request-id: {document['request_id']}".encode() in head
    lines = [json.loads(line) for line in proxy.log.read_text().splitlines()]
    (line,) = [each for each in lines if each.get("request_id") == document["request_id"]]
    assert (line["event"], line["outcome"]) == ("connection_refused", "invalid_request")
