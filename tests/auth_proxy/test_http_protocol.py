"""Connections that are slow; what is odd in other ways stands in ``tests/attacks``."""

import socket
import time

from hypothesis import given
from hypothesis import strategies as st

from auth_proxy.http_protocol import is_unambiguous
from proof.lab.proxy import Issuer, Proxy

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
    token = b"Authorization: Bearer " + local_issuer.token().encode()
    head = POST + token + b"\r\nX-Request-Timeout-Ms: 500\r\nContent-Length: 100\r\n\r\n{"
    with socket.create_connection(("127.0.0.1", proxy.http_port)) as connection:
        connection.sendall(head)
        connection.settimeout(10)
        assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")


@given(st.binary(max_size=200))
def test_what_has_one_reading_has_only_whole_line_ends(head: bytes) -> None:
    """No head with a lone CR or LF is let through."""
    if is_unambiguous(b"GET / HTTP/1.1\r\n" + head + b"\r\n"):
        assert not set(head.replace(b"\r\n", b"")) & set(b"\r\n")
