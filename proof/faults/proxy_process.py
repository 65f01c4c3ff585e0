"""The process of a fault proxy: ``python -m proof.faults.proxy_process TARGET_PORT``.

It prints its port. Then it reads one JSON order a line until its standard input ends.
"""

import asyncio
import json
import os
import re
import socket
import struct
import sys
import time
from contextlib import suppress
from typing import Any, Final

from proof.faults.proxy import Fault

_HOST: Final = "127.0.0.1"
_REQUEST_LINE: Final = re.compile(rb"^[A-Z]{3,7} \S+ HTTP/1\.[01]$")
_CHUNK_BYTES: Final = 65536
_GARBLE: Final = bytes(255 - byte for byte in range(256))
_DueChunk = tuple[float, bytes]


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection with RST instead of FIN."""
    with suppress(OSError):
        # A linger time of 0 makes the kernel send RST.
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


class ProxyConnection:
    """A client's connection, and the connection to the server that belongs to it."""

    def __init__(
        self, proxy: "FaultProxyServer", client: asyncio.StreamWriter, server: asyncio.StreamWriter
    ) -> None:
        self._proxy, self.client, self.server = proxy, client, server
        self.answered_bytes, self.is_forgotten, self.opened_s = 0, False, time.monotonic()

    def reset(self) -> None:
        """Reset both connections."""
        _reset(self.client)
        _reset(self.server)

    async def pass_on(self, reader: asyncio.StreamReader, is_answer: bool) -> None:
        """Forward one direction with the current fault until either side ends."""
        chunks: asyncio.Queue[_DueChunk] = asyncio.Queue()
        writer_task = asyncio.create_task(self._write_chunks(chunks, is_answer))
        try:
            while chunk := await reader.read(_CHUNK_BYTES):
                if not is_answer:
                    self._proxy.record_request_line(chunk)
                # Each chunk has its own due time: a sleep here would delay the chunks behind it again.
                chunks.put_nowait((time.monotonic() + self._proxy.delay_s, chunk))
        except OSError:
            self.reset()
        chunks.put_nowait((time.monotonic() + self._proxy.delay_s, b""))
        await writer_task

    async def _write_chunks(self, chunks: asyncio.Queue[_DueChunk], is_answer: bool) -> None:
        writer = self.client if is_answer else self.server
        with suppress(OSError, RuntimeError):  # the other side has closed
            while True:
                due_s, chunk = await chunks.get()
                await asyncio.sleep(due_s - time.monotonic())
                await self._proxy.wait_until_passing(self)
                if not chunk:
                    await self._close_side(writer, is_answer)
                    return
                await self._write(writer, chunk, is_answer)

    async def _close_side(self, writer: asyncio.StreamWriter, is_answer: bool) -> None:
        if self._proxy.fault.kind == "slow_close":
            await asyncio.sleep(self._proxy.fault.ms / 1000)
        if is_answer or not writer.can_write_eof():
            writer.close()
        else:
            writer.write_eof()

    async def _write(self, writer: asyncio.StreamWriter, chunk: bytes, is_answer: bool) -> None:
        while chunk and self._proxy.fault.kind == "trickle":
            writer.write(chunk[:1])
            chunk = chunk[1:]
            await asyncio.sleep(self._proxy.fault.ms / 1000)
        fault = self._proxy.fault
        if is_answer and fault.kind == "garbled":
            chunk = chunk.translate(_GARBLE)
        if is_answer and fault.kind in ("cut", "reset"):
            chunk = chunk[: max(0, fault.after_bytes - self.answered_bytes)]
            self.answered_bytes += len(chunk)
        writer.write(chunk)
        await writer.drain()
        if is_answer and fault.kind in ("cut", "reset") and self.answered_bytes >= fault.after_bytes:
            await self._break_off(fault)

    async def _break_off(self, fault: Fault) -> None:
        if fault.kind == "cut":
            self.client.close()
            self.server.close()
            return
        await asyncio.sleep(0.005)  # a reset discards bytes that have not arrived yet
        self.reset()

    async def close_when_old(self) -> None:
        """Close the server's side at the age that the fault ``slow_close`` sets."""
        while not self.server.is_closing():
            fault = self._proxy.fault
            age_ms = 1000 * (time.monotonic() - max(self.opened_s, self._proxy.since_s))
            if fault.kind == "slow_close" and age_ms >= fault.ms:
                self.server.close()
            await asyncio.sleep(0.1)


class FaultProxyServer:
    """The listener, its connections and their fault."""

    def __init__(self, target_port: int) -> None:
        self._target_port, self._port = target_port, 0
        self.fault, self.since_s = Fault(), time.monotonic()
        self.request_lines: list[tuple[float, str]] = []
        self._connections: set[ProxyConnection] = set()
        self._changed = asyncio.Event()
        self._listener: asyncio.Server | None = None
        self._flap_task: asyncio.Task[None] | None = None

    @property
    def delay_s(self) -> float:
        """The delay of each chunk."""
        return self.fault.ms / 1000 if self.fault.kind == "slow" else 0.0

    async def listen(self) -> int:
        """Listen, on the same port as before if there was one. Return the port."""
        if self._listener is None:
            self._listener = await asyncio.start_server(
                self._accept, _HOST, self._port, backlog=1024, reuse_address=True
            )
            self._port = self._listener.sockets[0].getsockname()[1]
        return self._port

    async def set_fault(self, fault: Fault) -> None:
        """Set the fault."""
        if self._flap_task:
            self._flap_task.cancel()
            self._flap_task = None
        self.fault, self.since_s = fault, time.monotonic()
        self._changed.set()
        self._changed = asyncio.Event()
        for connection in self._connections:
            connection.answered_bytes = 0
            connection.is_forgotten |= fault.kind == "forgotten"
        if fault.kind == "down" or (fault.kind == "reset" and not fault.after_bytes):
            self._reset_all()
        if fault.kind == "down":
            self._stop_listening()
        elif fault.kind == "flapping":
            self._flap_task = asyncio.create_task(self._flap(fault.ms / 1000))
        else:
            await self.listen()

    async def wait_until_passing(self, connection: ProxyConnection) -> None:
        """Wait while the fault lets no byte pass on a connection."""
        while connection.is_forgotten or self.fault.kind in ("hanging", "forgotten"):
            await self._changed.wait()

    def record_request_line(self, chunk: bytes) -> None:
        """Record the first line of an HTTP request."""
        line = chunk[:2048].partition(b"\r\n")[0]
        if _REQUEST_LINE.fullmatch(line):
            self.request_lines.append((time.monotonic(), line.decode("latin-1")))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection(_HOST, self._target_port)
        except OSError:
            _reset(writer)
            return
        connection = ProxyConnection(self, writer, server_writer)
        # The fault may have begun while the connection to the server was made.
        if self._listener is None or (self.fault.kind == "reset" and not self.fault.after_bytes):
            connection.reset()
            return
        connection.is_forgotten = self.fault.kind == "forgotten"
        self._connections.add(connection)
        closing = asyncio.create_task(connection.close_when_old())
        try:
            await asyncio.gather(
                connection.pass_on(reader, is_answer=False),
                connection.pass_on(server_reader, is_answer=True),
            )
        finally:
            self._connections.discard(connection)
            closing.cancel()
            writer.close()
            server_writer.close()

    async def _flap(self, seconds: float) -> None:
        while True:
            self._reset_all()
            self._stop_listening()
            await asyncio.sleep(seconds)
            await self.listen()
            await asyncio.sleep(seconds)

    def _stop_listening(self) -> None:
        if self._listener:
            self._listener.close()
            self._listener = None

    def _reset_all(self) -> None:
        for connection in list(self._connections):
            connection.reset()


def _write_line(document: Any) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


async def _serve(target_port: int) -> None:
    proxy = FaultProxyServer(target_port)
    _write_line(await proxy.listen())
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin
    )
    while line := await orders.readline():
        order = json.loads(line)
        if "fault" in order:
            await proxy.set_fault(Fault(**order["fault"]))
            _write_line(None)
        else:
            _write_line(proxy.request_lines)
    os._exit(0)  # without waiting for connections that hang


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
