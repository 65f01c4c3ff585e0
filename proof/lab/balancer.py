"""A TCP balancer like kube-proxy: a new connection goes to the current server, and stays with it."""

import asyncio
from contextlib import suppress
from typing import Final

from pleura.local.processes import HOST

_CHUNK_BYTES: Final = 65536


class ConnectionBalancer:
    """One address in front of servers that are replaced. ``port`` is the port of the current server."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """Listen, and return the port."""
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Stop listening, and close the open connections."""
        if self._server:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of its own, so that close() can cancel it: asyncio does not tell which handlers run.
        connection = asyncio.ensure_future(self._join(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)
        await asyncio.wait({connection})

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection(HOST, self.port)
        except OSError:
            writer.close()
            return
        # Each direction ends on its own, because a connection may be half closed.
        await asyncio.gather(_pipe(reader, server_writer), _pipe(server_reader, writer))


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK_BYTES):
                writer.write(chunk)
                await writer.drain()
    finally:
        writer.close()
