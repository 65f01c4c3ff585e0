"""PostgreSQL connections that never wait longer than they are told, whatever the network does.

psycopg2 blocks in libpq, where a server that accepts and says nothing holds a thread for ever. Its wait
callback hands the waiting to us, so that every statement ends by the connection's ``until``, and connecting
by the thread's.
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
    """The server did not answer by the time allowed."""


class Connection(extensions.connection):  # type: ignore[misc]  # psycopg2 has no types
    """A connection whose statements must have ended when the monotonic clock shows ``until``."""

    until: float | None = None


def polled(connection: Any) -> int:
    """Go on with what a connection is about, and give what it waits for: ``POLL_OK``, ``READ`` or ``WRITE``.

    Raises:
        psycopg2.Error: It came to nothing. A server whose refusal is no UTF-8 (in its own language's Latin-1,
            say, before an encoding is agreed on) is one of these; psycopg2 fails on its words.
    """
    try:
        return int(connection.poll())
    except UnicodeDecodeError as error:
        raise psycopg2.OperationalError("the server's words are not UTF-8") from error


def _wait(connection: Any) -> None:
    until = getattr(connection, "until", None) or getattr(_connecting, "until", None)
    until = until or time.monotonic() + _CONNECT_S  # nobody's of ours
    while True:
        state = polled(connection)
        if state == extensions.POLL_OK:
            return
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise DatabaseTimeout("PostgreSQL does not answer in time")
        poll = select.poll()
        poll.register(connection.fileno(), _EVENTS[state])
        poll.poll(left_s * 1000)


def wait_with_limits() -> None:
    """Have psycopg2 wait by our rule, in this process."""
    extensions.set_wait_callback(_wait)


def is_ended(connection: Connection) -> bool:
    """Whether an idle connection has ended; nothing else that the server says to one matters."""
    if connection.closed or connection.fileno() < 0:  # libpq has given up its socket
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


class Database:
    """Connections, made when they are first needed and kept when they are sound."""

    def __init__(self, dsn: str, connections: int = 2) -> None:
        self._dsn, self._connections = dsn, connections
        self._idle: list[Connection] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections that are kept."""
        while connection := self._kept():
            connection.close()

    def connect(self, limit_s: float) -> Connection:
        """Make a connection that is not kept; making it counts against ``limit_s`` too."""
        until = time.monotonic() + limit_s
        connection = self._open(limit_s)
        connection.until = until
        return connection

    def connect_for_loop(self, limit_s: float) -> Connection:
        """Make a connection that an event loop waits for. This blocks: it looks up the host."""
        connection = self._open(limit_s, async_=True)
        connection.until = time.monotonic() + min(limit_s, _CONNECT_S)
        try:
            _wait(connection)
        except psycopg2.Error:
            connection.close()
            raise
        return connection

    def _open(self, limit_s: float, **more: Any) -> Connection:
        _connecting.until = time.monotonic() + min(limit_s, _CONNECT_S)
        try:
            connection: Connection = psycopg2.connect(
                self._dsn, connection_factory=Connection, client_encoding="utf8", **more
            )
        finally:
            _connecting.until = None
        return connection

    @contextmanager
    def transaction(self, limit_s: float) -> Iterator[Any]:
        """Give a cursor in a transaction that commits at the end and lasts ``limit_s`` at most.

        Raises:
            psycopg2.Error: The server is away, slow, or refuses; the connection is given up.
        """
        until = time.monotonic() + limit_s
        connection = self._kept() or self.connect(limit_s)
        is_sound = False
        try:
            connection.until = until
            with connection.cursor() as cursor:
                yield cursor
            connection.commit()
            is_sound = True
        finally:
            self._give_back(connection, is_sound)

    def _kept(self) -> Connection | None:
        while connection := self._popped():
            if not is_ended(connection):
                return connection
            connection.close()
        return None

    def _popped(self) -> Connection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _give_back(self, connection: Connection, is_sound: bool) -> None:
        with self._lock:
            if is_sound and len(self._idle) < self._connections:
                self._idle.append(connection)
                return
        connection.close()
