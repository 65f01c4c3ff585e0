"""uvicorn's HTTP/1.1 parser, made stricter: one reading of each request, and no slow ones.

h11 joins folded headers, takes a bare LF for a line end, merges equal lengths, and lets nearly anything stand
behind a chunk's size; a proxy before us may read the same bytes otherwise, and that difference is what
request smuggling lives on.

Source:
    RFC 9110 section 5.5 (control characters), RFC 9112 sections 2.2 (bare CR), 5.2 (obs-fold), 6.3 (message
    body length), 7.1 (chunks and trailers).
"""

import asyncio
import re
from typing import Any, Final

import h11
from h11._receivebuffer import ReceiveBuffer
from uvicorn.protocols.http.h11_impl import H11Protocol

from pleura.serving.joined_writes import JoinedWrites

MAX_HEAD_BYTES: Final = 32768
_MAX_HEAD_LINES: Final = 100
_HEAD_TIMEOUT_S: Final = 10.0
_ODD_LINE_END: Final = re.compile(rb"(?<!\r)\n|\r(?!\n)|\n[ \t]")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")  # all but tab and the ends of lines
_LENGTH: Final = re.compile(rb"(?im)^content-length:[ \t]*(.*?)[ \t]*\r$")
_NUMBER: Final = re.compile(rb"0|[1-9]\d{0,17}")  # what others read as octal, or beyond 64 bits, is none
_CHUNK_LINE: Final = re.compile(rb"[0-9A-Fa-f]{1,15}(?:;[\t\x20-\x7e]{0,256})?\r\n")
_CODING: Final = re.compile(rb"(?im)^transfer-encoding[ \t]*:")
_VERSIONS: Final = (b"HTTP/1.1", b"HTTP/1.0")
_MALFORMED: Final = b'{"error":"the request is no valid HTTP"}'


def is_unambiguous(head: bytes) -> bool:
    """Whether a request's head, up to its empty line, can be read in one way only."""
    if _ODD_LINE_END.search(head) or _CONTROL.search(head) or head.count(b"\n") > _MAX_HEAD_LINES:
        return False
    version = head.partition(b"\r\n")[0].rpartition(b" ")[2]
    lengths, is_coded = _LENGTH.findall(head), _CODING.search(head) is not None
    if version not in _VERSIONS or (is_coded and (lengths or version == b"HTTP/1.0")):
        return False
    return len(lengths) <= 1 and all(_NUMBER.fullmatch(length) for length in lengths)


class _StrictBuffer(ReceiveBuffer):
    """What h11 takes heads, chunk sizes and trailers from: lines that end with CRLF and nothing else."""

    def maybe_extract_next_line(self) -> bytearray | None:
        """Give the line of a chunk's size."""
        line = super().maybe_extract_next_line()
        if line is not None and not _CHUNK_LINE.fullmatch(line):
            raise h11.LocalProtocolError("the size of a chunk has more than one reading")
        return line

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """Give the lines of a head, or of trailers."""
        received = bytes(self)
        lines = super().maybe_extract_lines()
        if lines is not None and _ODD_LINE_END.search(received[: len(received) - len(self)]):
            raise h11.LocalProtocolError("the lines have odd ends")
        return lines


class _StrictConnection(h11.Connection):
    def __init__(self) -> None:
        super().__init__(h11.SERVER, MAX_HEAD_BYTES)
        self._receive_buffer = _StrictBuffer()

    def next_event(self) -> Any:
        """Refuse a head that has more than one reading before h11 chooses one."""
        if self.their_state is h11.IDLE:
            self._check_head(self.trailing_data[0])
        return super().next_event()

    def _check_head(self, received: bytes) -> None:
        head, end, _ = received.partition(b"\r\n\r\n")
        if len(head) > MAX_HEAD_BYTES:  # h11 looks at the length of what is incomplete only
            raise h11.RemoteProtocolError("the head is too long")
        if end and not is_unambiguous(head + b"\r\n"):
            raise h11.RemoteProtocolError("the head has more than one reading")
        if not end and _ODD_LINE_END.search(received.rstrip(b"\r")):
            raise h11.RemoteProtocolError("the head has odd line ends")


class StrictProtocol(H11Protocol):
    """A connection whose heads are strict and arrive in time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = _StrictConnection()
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(JoinedWrites(transport, self.loop))  # type: ignore[arg-type]
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_watching()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Read what has arrived, and watch the clock while a head is incomplete."""
        super().handle_events()
        if self.conn.their_state is not h11.IDLE:
            self._stop_watching()
        elif self._head_timer is None and self.conn.trailing_data[0]:
            self._watch_head()

    def send_400_response(self, msg: str) -> None:
        """Answer in the form of all our errors where an answer is still possible, and close."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(_MALFORMED)).encode()),
                (b"connection", b"close"),
            ]
            response = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
            for event in (response, h11.Data(data=_MALFORMED), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: an upgrade that is not offered is ignored (RFC 9110 section 7.8)."""

    def _watch_head(self) -> None:
        self._head_timer = self.loop.call_later(_HEAD_TIMEOUT_S, self.transport.close)

    def _stop_watching(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
