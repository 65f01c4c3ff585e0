"""PostgreSQL connections that never wait longer than they are told, whatever the network does.

psycopg2 blocks in libpq, where a server that accepts and says nothing holds a thread for ever. Its wait
callback hands the waiting to us, so that every statement ends by the connection's ``until``.
"""

import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg2
from psycopg2 import extensions
from psycopg2.pool import ThreadedConnectionPool

_CONNECT_S: Final = 2.0
_EVENTS: Final = {extensions.POLL_READ: select.POLLIN, extensions.POLL_WRITE: select.POLLOUT}


class DatabaseTimeout(psycopg2.OperationalError):  # type: ignore[misc]  # psycopg2 has no types
    """The server did not answer by the time allowed."""


class Connection(extensions.connection):  # type: ignore[misc]  # psycopg2 has no types
    """A connection whose statements must have ended when the monotonic clock shows ``until``."""

    until: float | None = None


def _wait(connection: Any) -> None:
    until = getattr(connection, "until", None) or time.monotonic() + _CONNECT_S
    while True:
        state = connection.poll()
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


class Database:
    """A pool of such connections, made when they are first needed."""

    def __init__(self, dsn: str, connections: int = 2) -> None:
        self._dsn, self._connections = dsn, connections
        self._pool: ThreadedConnectionPool | None = None
        self._lock = threading.Lock()

    def _opened(self) -> ThreadedConnectionPool:
        with self._lock:
            if self._pool is None:  # a pool connects when it is made, so a failure must leave none behind
                self._pool = ThreadedConnectionPool(
                    1,
                    self._connections,
                    self._dsn,
                    connection_factory=Connection,
                    client_encoding="utf8",
                )
            return self._pool

    def close(self) -> None:
        """Close all connections."""
        if self._pool:
            self._pool.closeall()
            self._pool = None

    def connect(self, limit_s: float) -> Connection:
        """Make a connection outside the pool."""
        connection: Connection = psycopg2.connect(self._dsn, connection_factory=Connection)
        connection.until = time.monotonic() + limit_s
        return connection

    @contextmanager
    def transaction(self, limit_s: float) -> Iterator[Any]:
        """Give a cursor in a transaction that commits at the end and lasts ``limit_s`` at most.

        Raises:
            psycopg2.Error: The server is away, slow, or refuses; the connection is given up.
        """
        pool = self._opened()
        connection = pool.getconn()
        is_sound = False
        try:
            connection.until = time.monotonic() + limit_s
            with connection.cursor() as cursor:
                yield cursor
            connection.commit()
            is_sound = True
        finally:
            pool.putconn(connection, close=not is_sound)
