"""A PostgreSQL connection that the event loop waits for: a statement costs one round trip, and no thread."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import psycopg2
from psycopg2 import extensions

from transformer.journal.database import Connection, Database, is_ended, polled

_SETTLED: Final = extensions.POLL_OK
_READABLE: Final = extensions.POLL_READ


class AsyncConnection:
    """One connection, made when it is first needed and kept while it is sound; one statement at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection | None = None

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection:
            connection.close()

    async def run(self, send: Callable[[Any], None], limit_s: float) -> None:
        """Have a cursor send one statement, a transaction of its own, and wait until it is committed.

        Raises:
            psycopg2.IntegrityError: The rows go against the schema, and are not there.
            psycopg2.Error: The server is away or refuses.
            TimeoutError: It was not committed within ``limit_s``; it may be later.
        """
        is_sound = False
        try:
            async with asyncio.timeout(limit_s):
                if self._connection and is_ended(self._connection):
                    self.close()
                if self._connection is None:
                    connect = self._database.connect_for_loop
                    self._connection = await asyncio.to_thread(connect, limit_s)
                with self._connection.cursor() as cursor:
                    send(cursor)
                    await _settled(self._connection)
            is_sound = True
        except psycopg2.IntegrityError:
            is_sound = True
            raise
        finally:
            if not is_sound:
                self.close()


async def _settled(connection: Connection) -> None:
    """Wait until the server has answered."""
    loop, number = asyncio.get_running_loop(), connection.fileno()
    while (state := polled(connection)) != _SETTLED:
        ready = loop.create_future()
        watch, unwatch = (
            (loop.add_reader, loop.remove_reader)
            if state == _READABLE
            else (loop.add_writer, loop.remove_writer)
        )
        watch(number, _wake, ready)
        try:
            await ready
        finally:
            unwatch(number)


def _wake(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
