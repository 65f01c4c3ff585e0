"""A server that records every request to the byte, in the place of an issuer or a transformer."""

import re
import socketserver
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedIOBase
from typing import Final

from proof.lab.tcp_server import serve_tcp

_MAX_LINE_BYTES: Final = 2**20


@dataclass(frozen=True)
class RecordedRequest:
    """One request as it arrived. ``is_whole`` says that its body arrived to the end."""

    head: bytes
    body: bytes
    is_whole: bool

    @property
    def request_line(self) -> str:
        """Verb and target."""
        return self.head.partition(b"\r\n")[0].removesuffix(b" HTTP/1.1").decode("latin-1")

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Names, in lower case, and values."""
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        pairs = (line.partition(":") for line in lines if line)
        return [(name.lower(), value.strip()) for name, _, value in pairs]

    def get_header(self, name: str) -> str:
        """Return the value of a header, or an empty text."""
        return dict(self.headers).get(name, "")


Answer = Callable[[RecordedRequest], Iterator[bytes]]


@dataclass
class RecordingServer:
    """A running server, with the number of its connections and every request."""

    port: int = 0
    connections: int = 0
    requests: list[RecordedRequest] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"http://127.0.0.1:{self.port}"

    def clear(self) -> None:
        """Forget connections and requests."""
        self.connections, self.requests = 0, []


def ok_response(body: bytes, content_type: str = "application/json") -> bytes:
    """Build an answer with status 200."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _read_chunked_body(stream: BufferedIOBase) -> tuple[bytes, bool]:
    body = b""
    while size := int(stream.readline(_MAX_LINE_BYTES) or b"-1", 16):
        chunk = stream.read(size) if size > 0 else b""
        if len(chunk) < size or size < 0 or stream.read(2) != b"\r\n":
            return body + chunk, False
        body += chunk
    return body, stream.readline(_MAX_LINE_BYTES) == b"\r\n"


def _read_request(stream: BufferedIOBase) -> RecordedRequest | None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline(_MAX_LINE_BYTES)
        if not line:
            return RecordedRequest(head, b"", is_whole=False) if head else None
        head += line
    if re.search(rb"(?i)\r\ntransfer-encoding: *chunked\r\n", head):
        return RecordedRequest(head, *_read_chunked_body(stream))
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)\r\n", head)
    size = int(length[1]) if length else 0
    body = stream.read(size)
    return RecordedRequest(head, body, is_whole=len(body) == size)


@contextmanager
def recording_server(answer: Answer, port: int = 0) -> Iterator[RecordingServer]:
    """Run a recording server. Each connection has its own thread.

    Args:
        answer: Yields the bytes to send for a request. The server closes the connection if it yields none.
        port: Port to listen on; 0 for any.
    """
    recorded = RecordingServer()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            recorded.connections += 1
            try:
                while request := _read_request(self.rfile):
                    recorded.requests.append(request)
                    parts = list(self._send(answer(request))) if request.is_whole else []
                    if not parts:
                        return
            except OSError:  # the caller has closed the connection
                return

        def _send(self, parts: Iterator[bytes]) -> Iterator[bool]:
            for part in parts:
                self.wfile.write(part)
                yield True

    with serve_tcp(Handler, port) as recorded.port:
        yield recorded
