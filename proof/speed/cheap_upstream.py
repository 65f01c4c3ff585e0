"""A transformer and a token issuer that cost almost nothing, so that a load measures the proxy alone.

``python -m proof.speed.cheap_upstream PORT KEYS ANSWER INFO``, where the last three are files. Every POST
gets ANSWER, ``/model-info`` gets INFO and ``/jwks.json`` gets KEYS.
"""

import asyncio
import sys
from pathlib import Path
from typing import Final, cast

import uvloop

_END_OF_HEAD: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length: "


def _build_response(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


class CheapUpstream(asyncio.Protocol):
    """One connection. The server splits requests by their content length and reads no other header."""

    def __init__(self, keys: bytes, answer: bytes, info: bytes) -> None:
        self._gets = {b"/jwks.json": keys, b"/model-info": info}
        self._answer, self._received = answer, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for the answers."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer each complete request."""
        # TCP may cut a request anywhere, and may bring several at once.
        self._received += data
        while (end := self._received.find(_END_OF_HEAD)) >= 0:
            head = self._received[:end].lower()
            _, has_length, length = head.partition(_LENGTH)
            request_end = end + 4 + (int(length.split(b"\r\n", 1)[0]) if has_length else 0)
            if len(self._received) < request_end:
                return
            verb, path = self._received[:end].split(b" ", 2)[:2]
            self._received = self._received[request_end:]
            self._transport.write(self._choose_response(verb, path))

    def _choose_response(self, verb: bytes, path: bytes) -> bytes:
        return self._answer if verb == b"POST" else self._gets.get(path, self._answer)


async def serve(port: int, keys: bytes, answer: bytes, info: bytes) -> None:
    """Serve until a signal ends the process."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: CheapUpstream(keys, answer, info), "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    """Read the files and serve them."""
    port, *files = sys.argv[1:]
    # Faster than asyncio's own loop: this server shares the cores with the proxy.
    uvloop.run(serve(int(port), *(_build_response(Path(file).read_bytes()) for file in files)))


if __name__ == "__main__":
    main()
