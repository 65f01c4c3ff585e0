"""A database of one's own on the PostgreSQL that tests share: others' rows would be strangers in it."""

import uuid
from contextlib import closing
from typing import Any

import psycopg2

from pleura.local.servers import Server


def own_database(postgres: Server) -> str:
    """Make an empty database, and give its DSN."""
    name = f"own_{uuid.uuid4().hex}"
    with closing(psycopg2.connect(postgres.url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(f"CREATE DATABASE {name}")
    return postgres.url.rpartition("/")[0] + f"/{name}"


def ask(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    """Execute a statement, and give the rows that come back."""
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []
