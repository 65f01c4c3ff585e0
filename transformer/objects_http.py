"""HTTP connections whose every byte counts against one deadline.

The timeouts of urllib3 hold for one read of the socket; a server that sends one byte at a time outlives them.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any, Final

import urllib3
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

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


def bounded_pool(connections: int, timeout_s: float) -> urllib3.PoolManager:
    """A pool whose plain HTTP connections keep to ``until``.

    A connection that the server closed while it was idle is opened once more; nothing else is tried again.
    """
    pool = urllib3.PoolManager(
        maxsize=connections,
        timeout=urllib3.Timeout(connect=min(_CONNECT_TIMEOUT_S, timeout_s), read=timeout_s),
        retries=urllib3.Retry(total=1, connect=0, read=1, redirect=0, status=0, other=0, backoff_factor=0),
    )
    pool.pool_classes_by_scheme = {**pool.pool_classes_by_scheme, "http": _BoundedPool}
    return pool


class _BoundedSocket(socket.socket):
    """A socket that never waits beyond the thread's deadline, however often it is asked."""

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self._hurry()
        return super().recv_into(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        self._hurry()
        super().sendall(*args, **kwargs)

    def _hurry(self) -> None:
        deadline: Deadline | None = getattr(_current, "deadline", None)
        if deadline is None:
            return
        try:
            self.settimeout(deadline.remaining_s)
        except DeadlineExceeded as error:
            raise TimeoutError("the time for this call has run out") from error


class _BoundedConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        plain = super()._new_conn()
        timeout = plain.gettimeout()
        bounded = _BoundedSocket(plain.family, plain.type, plain.proto, fileno=plain.detach())
        bounded.settimeout(timeout)
        return bounded


class _BoundedPool(HTTPConnectionPool):
    ConnectionCls = _BoundedConnection
