"""Requests as raw bytes: each has one reading, or is refused."""

import re
import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_proxy.http_server import has_one_reading
from tests.auth_proxy.servers import Issuer, Proxy, Upstream, exchange

INFER = b"/v2/models/chest-xray/infer"
SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Request-Id: smuggled\r\n\r\n"
POST = b"POST " + INFER + b" HTTP/1.1\r\nHost: a\r\n"
REFUSED = {
    "CL.TE": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE.CL": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE.TE": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE list": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE x": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE tab": POST + b"Transfer-Encoding:\tchunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE space before colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE in HTTP/1.0": POST.replace(b"1.1", b"1.0")
    + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "double length": POST + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n" + SMUGGLED,
    "double equal length": POST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n" + SMUGGLED,
    "length list": POST + b"Content-Length: 0, 0\r\n\r\n" + SMUGGLED,
    "length +": POST + b"Content-Length: +0\r\n\r\n" + SMUGGLED,
    "length -": POST + b"Content-Length: -1\r\n\r\n" + SMUGGLED,
    "length hex": POST + b"Content-Length: 0x0\r\n\r\n" + SMUGGLED,
    "length empty": POST + b"Content-Length:\r\n\r\n" + SMUGGLED,
    "length huge": POST + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n" + SMUGGLED,
    "folded header": POST + b"X-A: b\r\n Content-Length: 4\r\n\r\n" + SMUGGLED,
    "folded length": POST + b"Content-Length:\r\n 4\r\n\r\n" + SMUGGLED,
    "first header folded": b"GET /healthz HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n" + SMUGGLED,
    "bare LF": b"GET /healthz HTTP/1.1\nHost: a\n\n" + SMUGGLED,
    "bare LF in a header": b"GET /healthz HTTP/1.1\r\nHost: a\nX: y\r\n\r\n" + SMUGGLED,
    "bare CR in a header": b"GET /healthz HTTP/1.1\r\nHost: a\rX: y\r\n\r\n" + SMUGGLED,
    "NUL in a header": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n" + SMUGGLED,
    "no Host": b"GET /healthz HTTP/1.1\r\n\r\n" + SMUGGLED,
    "two Hosts": b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + SMUGGLED,
    "HTTP/2.0": b"GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n" + SMUGGLED,
    "HTTP/1.2": b"GET /healthz HTTP/1.2\r\nHost: a\r\n\r\n" + SMUGGLED,
    "HTTP/0.9": b"GET /healthz\r\n\r\n" + SMUGGLED,
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "two spaces": b"GET  /healthz HTTP/1.1\r\nHost: a\r\n\r\n" + SMUGGLED,
    "space in the path": b"GET /healthz x HTTP/1.1\r\nHost: a\r\n\r\n" + SMUGGLED,
    "path not ASCII": b"GET /h\xc3\xa9althz HTTP/1.1\r\nHost: a\r\n\r\n" + SMUGGLED,
    "header without colon": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX\r\n\r\n" + SMUGGLED,
    "header name empty": b"GET /healthz HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n" + SMUGGLED,
    "200 headers": b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200 + b"\r\n" + SMUGGLED,
    "1 MB header": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 2**20 + b"\r\n\r\n",
    "1 MB path": b"GET /" + b"a" * 2**20 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
}
CHUNKED = b"\r\nTransfer-Encoding: chunked\r\n\r\n"
BAD_CHUNKS = {
    "size no number": b"x\r\n\r\n",
    "size negative": b"-1\r\n\r\n",
    "size with 0x": b"0x1\r\na\r\n0\r\n\r\n",
    "size with bare LF": b"1\na\r\n0\r\n\r\n",
    "size of 30 digits": b"0" * 29 + b"1\r\na\r\n0\r\n\r\n",
    "footer missing": b"1\r\naX0\r\n\r\n",
    "extension with LF": b"1;a\nb\r\na\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_request_of_two_readings_is_refused(proxy: Proxy, upstream: Upstream, case: str) -> None:
    """One answer, a 400 in the form of our errors; nothing behind it is read or forwarded."""
    answer = exchange(proxy.http_port, REFUSED[case])
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b'{"error":' in answer
    assert b"smuggled" not in answer
    assert not upstream.requests


@pytest.mark.parametrize("case", BAD_CHUNKS)
def test_a_body_of_bad_chunks_is_refused(
    proxy: Proxy, upstream: Upstream, local_issuer: Issuer, case: str
) -> None:
    """The transformer does not get half of it as a whole, and nothing behind it is read."""
    head = POST + b"Authorization: Bearer " + local_issuer.token().encode()
    answer = exchange(proxy.http_port, head + CHUNKED + BAD_CHUNKS[case] + SMUGGLED)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"smuggled" not in answer
    assert not any(body for _, body in upstream.requests)


def test_pipelined_requests_get_their_own_answers(proxy: Proxy, local_issuer: Issuer) -> None:
    """In their order, each with the id of its request; refused ones between them included."""
    token = b"Authorization: Bearer " + local_issuer.token().encode() + b"\r\n"
    requests = [
        POST + token + b"X-Request-Id: p0\r\nContent-Length: 2\r\n\r\n{}",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Request-Id: p1\r\n\r\n",
        b"GET /nowhere HTTP/1.1\r\nHost: a\r\nX-Request-Id: p2\r\n\r\n",
        POST
        + token
        + b"X-Request-Id: p3\r\nTransfer-Encoding: chunked\r\n\r\n2;ext=1\r\n{}\r\n0\r\nT: x\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nHost: a\r\nX-Request-Id: p4\r\n\r\n",
    ]
    answer = exchange(proxy.http_port, b"".join(requests))
    assert re.findall(rb"x-request-id: (\S+)", answer) == [b"p0", b"p1", b"p2", b"p3", b"p4"]
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"200", b"404", b"200", b"401"]


def test_a_refused_body_is_not_read_as_a_request(proxy: Proxy) -> None:
    """What follows a head that was refused belongs to its body, not to a next request."""
    body = SMUGGLED * 3
    head = POST + f"Content-Length: {len(body)}\r\n\r\n".encode()
    answer = exchange(proxy.http_port, head + body)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"smuggled" not in answer


@pytest.mark.parametrize(
    "host", [b"a/b", b"a?b", b"a#b", b"a@b", b"a:b", b"", b"a, b", b"127.0.0.1:8000/healthz?"]
)
def test_an_odd_host_is_refused(proxy: Proxy, host: bytes) -> None:
    """The path that is decided on cannot be moved by a Host."""
    answer = exchange(
        proxy.http_port, b"GET /healthz HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 400 ")


def test_an_upgrade_is_not_offered(proxy: Proxy) -> None:
    """WebSocket and h2c upgrades are ignored; the request is answered as any other."""
    for upgrade in (b"websocket", b"h2c"):
        head = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: " + upgrade
        assert exchange(proxy.http_port, head + b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")


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
    token = b"Authorization: Bearer " + local_issuer.token().encode()
    head = POST + token + b"\r\nX-Request-Timeout-Ms: 500\r\nContent-Length: 100\r\n\r\n{"
    with socket.create_connection(("127.0.0.1", proxy.http_port)) as connection:
        connection.sendall(head)
        connection.settimeout(10)
        assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")


@given(st.binary(max_size=200))
def test_what_has_one_reading_has_only_whole_line_ends(head: bytes) -> None:
    """No head with a lone CR or LF is let through."""
    if has_one_reading(b"GET / HTTP/1.1\r\n" + head + b"\r\n"):
        assert not set(head.replace(b"\r\n", b"")) & set(b"\r\n")
