"""A database of one's own on the PostgreSQL that tests share: others' rows would be strangers in it."""

import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import psycopg2

from pleura.local.dependencies import Server


def own_database(postgres: Server) -> str:
    """Make an empty database, and give its DSN."""
    name = f"own_{uuid.uuid4().hex}"
    with closing(psycopg2.connect(postgres.url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(f"CREATE DATABASE {name}")
    return postgres.url.rpartition("/")[0] + f"/{name}"


def run_sql(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    """Execute a statement, and give the rows that come back."""
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def french_server() -> Iterator[str]:
    """Give the DSN of a PostgreSQL that is starting, and says so in French and Latin-1."""
    fields = "SFATAL\0VFATAL\0C57P03\0Mle système de base de données se lance\0\0".encode("latin-1")
    refusal = b"E" + (len(fields) + 4).to_bytes(4, "big") + fields
    with socket.create_server(("127.0.0.1", 0)) as server:
        serving = threading.Thread(target=_refuse, args=(server, refusal))
        serving.start()
        try:
            yield f"postgresql://nobody@127.0.0.1:{server.getsockname()[1]}/pleura"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            serving.join()


def _refuse(server: socket.socket, refusal: bytes) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:  # it is over
            return
        with connection, suppress(OSError):  # the client has gone
            if connection.recv(1024)[4:8] == (80877103).to_bytes(4, "big"):  # whether there is TLS
                connection.sendall(b"N")
                connection.recv(1024)
            connection.sendall(refusal)
