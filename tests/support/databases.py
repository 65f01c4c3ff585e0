"""Databases on the PostgreSQL that tests share. A new database has no rows of other tests."""

import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import psycopg2

from pleura.local.dependencies import Server


def create_database(postgres: Server) -> str:
    """Create an empty database, and return its DSN."""
    name = f"own_{uuid.uuid4().hex}"
    with closing(psycopg2.connect(postgres.url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(f"CREATE DATABASE {name}")
    return postgres.url.rpartition("/")[0] + f"/{name}"


def run_sql(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    """Execute a statement, and return its rows."""
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def start_french_server() -> Iterator[str]:
    """Start a server that refuses like a starting PostgreSQL, in French and Latin-1, and give its DSN."""
    fields = "SFATAL\0VFATAL\0C57P03\0Mle système de base de données se lance\0\0".encode("latin-1")
    refusal = b"E" + (len(fields) + 4).to_bytes(4, "big") + fields
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_refuse_connections, args=(server, refusal))
        thread.start()
        try:
            yield f"postgresql://nobody@127.0.0.1:{server.getsockname()[1]}/pleura"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def _refuse_connections(server: socket.socket, refusal: bytes) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:  # the test has ended
            return
        with connection, suppress(OSError):  # the client has closed the connection
            if connection.recv(1024)[4:8] == (80877103).to_bytes(4, "big"):  # a request for TLS
                connection.sendall(b"N")
                connection.recv(1024)
            connection.sendall(refusal)
