"""A PostgreSQL connection for the event loop: a statement costs one round trip and no thread."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import psycopg2
from psycopg2 import extensions

from transformer.journal.database import Connection, Database, is_ended, poll

_DONE: Final = extensions.POLL_OK
_READABLE: Final = extensions.POLL_READ


class AsyncConnection:
    """One connection, opened when first needed and kept while it works. It runs one statement at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection | None = None

    def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection:
            connection.close()

    async def run(self, send: Callable[[Any], None], limit_s: float) -> None:
        """Send one statement, which is a transaction of its own, and wait until it is committed.

        Args:
            send: Sends the statement with the cursor that it is given.
            limit_s: Seconds for all of it, connecting included.

        Raises:
            psycopg2.IntegrityError, psycopg2.DataError: The server refuses the rows. None was written.
            psycopg2.Error: The server is down or refuses.
            TimeoutError: The statement was not committed within ``limit_s``. It may be committed later.
        """
        is_usable = False
        try:
            async with asyncio.timeout(limit_s):
                if self._connection and is_ended(self._connection):
                    self.close()
                if self._connection is None:
                    connect = self._database.connect_for_loop
                    self._connection = await asyncio.to_thread(connect, limit_s)
                with self._connection.cursor() as cursor:
                    send(cursor)
                    await _wait_for_answer(self._connection)
            is_usable = True
        # the server has answered, so the connection is in order, unlike after any other failure
        except (psycopg2.IntegrityError, psycopg2.DataError):
            is_usable = True
            raise
        finally:
            if not is_usable:
                self.close()


async def _wait_for_answer(connection: Connection) -> None:
    loop, number = asyncio.get_running_loop(), connection.fileno()
    while (state := poll(connection)) != _DONE:
        ready = loop.create_future()
        add, remove = (
            (loop.add_reader, loop.remove_reader)
            if state == _READABLE
            else (loop.add_writer, loop.remove_writer)
        )
        add(number, _wake, ready)
        try:
            await ready
        finally:
            remove(number)


def _wake(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)
