"""HTTP connections whose every byte counts against one deadline.

The timeouts of urllib3 hold for one read of the socket; a server that sends one byte at a time outlives them.
"""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any, Final

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from pleura.deadline import Deadline
from pleura.errors import DeadlineExceeded

_CONNECT_TIMEOUT_S: Final = 2.0
_current: Final = threading.local()


@contextlib.contextmanager
def until(deadline: Deadline) -> Iterator[None]:
    """Let every read and write of this thread's bounded connections end with ``deadline``."""
    _current.deadline = deadline
    try:
        yield
    finally:
        _current.deadline = None


def bounded_pool(connections: int, timeout_s: float, is_tls: bool) -> urllib3.PoolManager:
    """A pool whose connections keep to ``until``.

    A connection that the server closed while it was idle is opened once more; nothing else is tried again.
    """
    tls = ssl.create_default_context() if is_tls else None
    if tls:
        tls.sslsocket_class = _BoundedTlsSocket
    pool = urllib3.PoolManager(
        maxsize=connections,
        ssl_context=tls,
        timeout=urllib3.Timeout(connect=min(_CONNECT_TIMEOUT_S, timeout_s), read=timeout_s),
        retries=urllib3.Retry(total=1, connect=0, read=1, redirect=0, status=0, other=0, backoff_factor=0),
    )
    pool.pool_classes_by_scheme = {
        **pool.pool_classes_by_scheme,
        "http": _BoundedPool,
        "https": _BoundedTlsPool,
    }
    return pool


def _left_s() -> float | None:
    """Seconds until the thread's deadline, if there is one."""
    deadline: Deadline | None = getattr(_current, "deadline", None)
    if deadline is None:
        return None
    try:
        return deadline.remaining_s
    except DeadlineExceeded as error:
        raise TimeoutError("the time for this call has run out") from error


def _hurry_connecting(connection: HTTPConnection) -> None:
    left_s = _left_s()
    if left_s is not None:
        connection.timeout = min(connection.timeout or left_s, left_s)


class _BoundedSocket(socket.socket):
    """A socket that never waits beyond the thread's deadline, however often it is asked."""

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self._hurry()
        return super().recv_into(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        self._hurry()
        super().sendall(*args, **kwargs)

    def _hurry(self) -> None:
        left_s = _left_s()
        if left_s is not None:
            self.settimeout(left_s)


class _BoundedTlsSocket(_BoundedSocket, ssl.SSLSocket):
    """The same, encrypted; its handshake as a whole ends with the time for connecting."""


class _BoundedConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        _hurry_connecting(self)
        plain = super()._new_conn()
        timeout = plain.gettimeout()
        bounded = _BoundedSocket(plain.family, plain.type, plain.proto, fileno=plain.detach())
        bounded.settimeout(timeout)
        return bounded


class _BoundedTlsConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        _hurry_connecting(self)
        return super()._new_conn()


class _BoundedPool(HTTPConnectionPool):
    ConnectionCls = _BoundedConnection


class _BoundedTlsPool(HTTPSConnectionPool):
    ConnectionCls = _BoundedTlsConnection
