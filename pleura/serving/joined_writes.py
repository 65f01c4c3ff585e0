"""A transport that sends the head of an answer and what follows it at once together.

uvicorn writes the head and the body apart, and uvloop sends each at once: two packets, and two awakenings of
whoever reads them, where one would do.
"""

import asyncio
from typing import Any


class JoinedWrites:
    """All that ``transport`` is; a first write waits for a second until the event loop's next turn."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._first = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send it, behind what waits."""
        if self._first:
            self._send(data)
        elif data:
            self._first = data
            self._loop.call_soon(self._send)

    def close(self) -> None:
        """Close when all is sent."""
        self._send()
        self._transport.close()

    def _send(self, data: bytes = b"") -> None:
        first, self._first = self._first, b""
        if (first or data) and not self._transport.is_closing():
            self._transport.write(first + data)
