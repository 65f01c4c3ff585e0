"""PostgreSQL connections that never wait longer than a limit, whatever the network does.

By default psycopg2 blocks in libpq, where a silent server holds a thread for ever. Our wait callback ends
every statement at the connection's ``until``, and every attempt to connect at the thread's ``until``.
"""

import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg2
from psycopg2 import extensions

_CONNECT_S: Final = 2.0
_connecting: Final = threading.local()
_EVENTS: Final = {extensions.POLL_READ: select.POLLIN, extensions.POLL_WRITE: select.POLLOUT}


class DatabaseTimeout(psycopg2.OperationalError):  # type: ignore[misc]  # psycopg2 has no types
    """The server did not answer within the time limit."""


class Connection(extensions.connection):  # type: ignore[misc]  # psycopg2 has no types
    """A connection whose statements end when the monotonic clock shows ``until``, at the latest."""

    until: float | None = None


def poll(connection: Any) -> int:
    """Continue the operation of a connection, and give what it waits for: ``POLL_OK``, ``READ`` or ``WRITE``.

    Raises:
        psycopg2.Error: The operation failed. This includes an error message that is not UTF-8, which psycopg2
            cannot decode: before an encoding is agreed on, a server may write Latin-1.
    """
    try:
        return int(connection.poll())
    # Python 3.11.7 raises this in place of psycopg2's error, 3.11.2 does not (docs/decisions/0038)
    except UnicodeDecodeError as error:
        raise psycopg2.OperationalError("the server's message is not UTF-8") from error


def _wait(connection: Any) -> None:
    until = getattr(connection, "until", None) or getattr(_connecting, "until", None)
    until = until or time.monotonic() + _CONNECT_S  # a connection that other code opened
    while True:
        state = poll(connection)
        if state == extensions.POLL_OK:
            return
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise DatabaseTimeout("PostgreSQL does not answer in time")
        poller = select.poll()
        poller.register(connection.fileno(), _EVENTS[state])
        poller.poll(left_s * 1000)


def limit_waiting() -> None:
    """Make psycopg2 wait with our time limits, in this process."""
    extensions.set_wait_callback(_wait)


def is_ended(connection: Connection) -> bool:
    """Whether an idle connection has ended. To an idle connection the server writes only its end."""
    if connection.closed or connection.fileno() < 0:  # libpq has closed its socket
        return True
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLIN)
    return bool(poller.poll(0))


class Database:
    """A pool of connections: opened when needed, kept while they work."""

    def __init__(self, dsn: str, connections: int = 2) -> None:
        self._dsn, self._connections = dsn, connections
        self._idle: list[Connection] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the idle connections."""
        while connection := self._take_idle():
            connection.close()

    def connect(self, limit_s: float) -> Connection:
        """Open a connection outside the pool. The time to connect counts against ``limit_s``."""
        until = time.monotonic() + limit_s
        connection = self._open(limit_s)
        connection.until = until
        return connection

    def connect_for_loop(self, limit_s: float) -> Connection:
        """Open a connection for use on an event loop. This call blocks, since it looks up the host."""
        connection = self._open(limit_s, async_=True)
        connection.until = time.monotonic() + min(limit_s, _CONNECT_S)
        try:
            _wait(connection)
        except psycopg2.Error:
            connection.close()
            raise
        return connection

    def _open(self, limit_s: float, **options: Any) -> Connection:
        _connecting.until = time.monotonic() + min(limit_s, _CONNECT_S)
        try:
            connection: Connection = psycopg2.connect(
                self._dsn, connection_factory=Connection, client_encoding="utf8", **options
            )
        finally:
            _connecting.until = None
        return connection

    @contextmanager
    def transaction(self, limit_s: float) -> Iterator[Any]:
        """Give a cursor in a transaction, which commits at the end and lasts at most ``limit_s``.

        Raises:
            psycopg2.Error: The server is down or slow, or refuses. The connection is closed.
        """
        until = time.monotonic() + limit_s
        connection = self._take_idle() or self.connect(limit_s)
        is_usable = False
        try:
            connection.until = until
            with connection.cursor() as cursor:
                yield cursor
            connection.commit()
            is_usable = True
        finally:
            self._put_back(connection, is_usable)

    def _take_idle(self) -> Connection | None:
        while connection := self._pop_idle():
            # after an outage the first answer would go through the spool for nothing (docs/decisions/0038)
            if not is_ended(connection):
                return connection
            connection.close()
        return None

    def _pop_idle(self) -> Connection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _put_back(self, connection: Connection, is_usable: bool) -> None:
        with self._lock:
            if is_usable and len(self._idle) < self._connections:
                self._idle.append(connection)
                return
        connection.close()
