"""A server that notes what reaches it, byte by byte: issuer, transformer, or one nobody should ask."""

import re
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedIOBase
from typing import Final

_LINE: Final = 2**20


@dataclass(frozen=True)
class RecordedRequest:
    """One request as it arrived; ``is_whole`` where its body came to its end."""

    head: bytes
    body: bytes
    is_whole: bool

    @property
    def request_line(self) -> str:
        """Verb and target."""
        return self.head.partition(b"\r\n")[0].removesuffix(b" HTTP/1.1").decode("latin-1")

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Names, in small letters, and values."""
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        pairs = (line.partition(":") for line in lines if line)
        return [(name.lower(), value.strip()) for name, _, value in pairs]

    def value_of(self, name: str) -> str:
        """The value of a header, or nothing."""
        return dict(self.headers).get(name, "")


Answer = Callable[[RecordedRequest], Iterator[bytes]]


@dataclass
class RecordingServer:
    """A running server: how many connections it had, and every request."""

    port: int = 0
    connections: int = 0
    requests: list[RecordedRequest] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def clear(self) -> None:
        """Forget what was noted."""
        self.connections, self.requests = 0, []


def ok_response(body: bytes, content_type: str = "application/json") -> bytes:
    """An answer with 200."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _chunked(stream: BufferedIOBase) -> tuple[bytes, bool]:
    body = b""
    while size := int(stream.readline(_LINE) or b"-1", 16):
        chunk = stream.read(size) if size > 0 else b""
        if len(chunk) < size or size < 0 or stream.read(2) != b"\r\n":
            return body + chunk, False
        body += chunk
    return body, stream.readline(_LINE) == b"\r\n"


def _next(stream: BufferedIOBase) -> RecordedRequest | None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline(_LINE)
        if not line:
            return RecordedRequest(head, b"", is_whole=False) if head else None
        head += line
    if re.search(rb"(?i)\r\ntransfer-encoding: *chunked\r\n", head):
        return RecordedRequest(head, *_chunked(stream))
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)\r\n", head)
    size = int(length[1]) if length else 0
    body = stream.read(size)
    return RecordedRequest(head, body, is_whole=len(body) == size)


@contextmanager
def recording_server(answer: Answer, port: int = 0) -> Iterator[RecordingServer]:
    """Serve, each connection in a thread of its own.

    Args:
        answer: Gives the bytes to send for a request; the connection is closed where it gives none.
        port: Where to listen.
    """
    noted = RecordingServer()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            noted.connections += 1
            try:
                while request := _next(self.rfile):
                    noted.requests.append(request)
                    parts = list(self._send(answer(request))) if request.is_whole else []
                    if not parts:
                        return
            except OSError:  # who asked has gone
                return

        def _send(self, parts: Iterator[bytes]) -> Iterator[bool]:
            for part in parts:
                self.wfile.write(part)
                yield True

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, allow_reuse_address, request_queue_size = True, True, 256
        block_on_close = False

    with Server(("127.0.0.1", port), Handler) as server:
        noted.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield noted
        finally:
            server.shutdown()
            thread.join()
