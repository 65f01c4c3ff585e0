"""The event loop's connection to a real PostgreSQL."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest

from pleura.local.dependencies import Server
from tests.support.databases import create_database, run_sql
from transformer.journal.async_connection import AsyncConnection
from transformer.journal.database import Database


@pytest.fixture
def dsn(postgres: Server) -> str:
    """Create a database with a table of unique numbers, and give its DSN."""
    dsn = create_database(postgres)
    run_sql(dsn, "CREATE TABLE numbers (number int PRIMARY KEY)")
    return dsn


@contextmanager
def _connection(dsn: str) -> Iterator[AsyncConnection]:
    connection = AsyncConnection(Database(dsn))
    yield connection
    connection.close()


async def _insert(connection: AsyncConnection, *numbers: int, limit_s: float = 5.0) -> None:
    values = ", ".join(f"({number})" for number in numbers)
    await connection.run(lambda cursor: cursor.execute(f"INSERT INTO numbers VALUES {values}"), limit_s)


def _numbers(dsn: str) -> list[int]:
    return [row[0] for row in run_sql(dsn, "SELECT number FROM numbers ORDER BY number")]


async def _backend(connection: AsyncConnection) -> int:
    found = list[Any]()

    def send(cursor: Any) -> None:
        found.append(cursor.connection.info.backend_pid)
        cursor.execute("SELECT 1")

    await connection.run(send, 5.0)
    return int(found[0])


async def test_a_statement_that_has_run_is_committed(dsn: str) -> None:
    """Other connections see the rows as soon as the statement has run."""
    with _connection(dsn) as connection:
        for number in range(3):
            await _insert(connection, number)
            assert _numbers(dsn) == list(range(number + 1))


async def test_a_row_with_an_existing_key_rejects_the_whole_statement(dsn: str) -> None:
    """A statement runs completely or not at all, and the connection is kept when it fails."""
    with _connection(dsn) as connection:
        await _insert(connection, 2)
        before = await _backend(connection)
        with pytest.raises(psycopg2.errors.UniqueViolation):
            await _insert(connection, 1, 2, 3)
        assert _numbers(dsn) == [2]
        await _insert(connection, 1, 3)
        assert await _backend(connection) == before
    assert _numbers(dsn) == [1, 2, 3]


async def test_a_large_statement_arrives_complete(dsn: str) -> None:
    """A statement that does not fit into the socket's buffer is sent as the server reads."""
    with _connection(dsn) as connection:
        await _insert(connection, *range(400_000), limit_s=30.0)
    assert run_sql(dsn, "SELECT count(*), sum(number) FROM numbers") == [(400_000, 400_000 * 399_999 // 2)]


async def test_a_silent_server_costs_the_limit_and_blocks_no_other_task(dsn: str) -> None:
    """Other tasks run while a statement waits. Then the connection is closed, and the next one works."""
    with _connection(dsn) as connection:
        backend = await _backend(connection)
        os.kill(backend, signal.SIGSTOP)
        try:
            began_s, ticks = time.monotonic(), 0
            waiting = asyncio.create_task(_insert(connection, 1, limit_s=0.5))
            while not waiting.done():
                await asyncio.sleep(0.01)
                ticks += 1
            with pytest.raises(TimeoutError):
                await waiting
            assert time.monotonic() - began_s < 1.5
            assert ticks > 10
            await _insert(connection, 2)
        finally:
            os.kill(backend, signal.SIGCONT)
        assert 2 in _numbers(dsn)
        assert await _backend(connection) != backend


async def test_an_idle_connection_that_was_cut_is_opened_again(dsn: str) -> None:
    """No statement fails because its connection was cut earlier."""
    with _connection(dsn) as connection:
        for number in range(3):
            run_sql(dsn, f"SELECT pg_terminate_backend({await _backend(connection)}, 5000)")
            await _insert(connection, number)
    assert _numbers(dsn) == [0, 1, 2]


async def test_a_connection_that_is_cut_fails_only_its_running_statement(dsn: str) -> None:
    """The running statement fails, the next one succeeds."""
    with _connection(dsn) as connection:
        backend = await _backend(connection)
        asleep = asyncio.create_task(
            connection.run(lambda cursor: cursor.execute("SELECT pg_sleep(30)"), 20.0)
        )
        await asyncio.sleep(0.2)
        await asyncio.to_thread(run_sql, dsn, f"SELECT pg_terminate_backend({backend}, 5000)")
        with pytest.raises(psycopg2.OperationalError):
            await asleep
        await _insert(connection, 1)
    assert _numbers(dsn) == [1]


async def test_connecting_to_a_silent_server_costs_the_limit() -> None:
    """Connecting to a silent server takes no longer than the statement's limit."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dsn = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/pleura"
        with _connection(dsn) as connection:
            began_s = time.monotonic()
            with pytest.raises((TimeoutError, psycopg2.OperationalError)):
                await _insert(connection, 1, limit_s=0.3)
            assert time.monotonic() - began_s < 1.5
