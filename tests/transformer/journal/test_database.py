"""Connections to PostgreSQL: kept, cut and refused."""

from contextlib import closing

import psycopg2
import pytest

from pleura.local.dependencies import Server
from tests.support.databases import create_database, run_sql, start_french_server
from transformer.journal.database import Database, limit_waiting, poll


@pytest.fixture
def dsn(postgres: Server) -> str:
    """Create a database, and give its DSN."""
    return create_database(postgres)


def _backend(database: Database) -> int:
    with database.transaction(5.0) as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def test_a_working_connection_is_kept(dsn: str) -> None:
    """The next transaction uses the same connection."""
    with closing(Database(dsn)) as database:
        assert _backend(database) == _backend(database)


def test_an_idle_connection_that_was_cut_is_not_used(dsn: str) -> None:
    """No transaction fails because the server restarted before it."""
    with closing(Database(dsn)) as database:
        for _ in range(3):
            backend = _backend(database)
            run_sql(dsn, f"SELECT pg_terminate_backend({backend}, 5000)")
            assert _backend(database) != backend


def test_a_refusal_that_is_not_utf8_is_an_operational_error() -> None:
    """Before an encoding is agreed on, a server may write Latin-1. The server then counts as down."""

    class Strange:
        """Behaves as psycopg2 does with such a message since Python 3.11.7, on any Python."""

        def poll(self) -> int:
            return len(b"\xe8".decode())

    with pytest.raises(psycopg2.OperationalError):
        poll(Strange())
    limit_waiting()
    with start_french_server() as dsn, closing(Database(dsn)) as database:
        with pytest.raises(psycopg2.OperationalError):
            database.connect(2.0)
        with pytest.raises(psycopg2.OperationalError):
            database.connect_for_loop(2.0)
