"""A time limit for the use of a PostgreSQL connection."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def abort_after(connection: Any, limit_s: float) -> Iterator[None]:
    """Abort a connection in time, because libpq waits for ever on a server that hangs."""
    # A socket closes its descriptor, and that of the connection belongs to libpq: hence the copy.
    connection_socket = socket.socket(fileno=os.dup(connection.fileno()))

    def abort() -> None:
        with suppress(OSError):  # the server closed it already
            connection_socket.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(limit_s, abort)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        connection_socket.close()
