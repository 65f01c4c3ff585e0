"""One HTTP/1.1 connection: uvicorn's httptools protocol, fed only with requests that have one reading.

The C parser of httptools is lenient in places. So ``http_framing`` reads every byte first, and the parser
gets only what ``http_framing`` accepts. Both must find the end of a request in the same place.
"""

import asyncio
import re
from typing import Any, Final
from urllib.parse import unquote

import httptools

from auth_proxy.http_framing import AmbiguousRequest, RequestHead, RequestSplitter
from pleura.serving.http_protocol import JsonErrorsProtocol, build_bad_request

_HEAD_TIMEOUT_S: Final = 10.0
_UPGRADE: Final = re.compile(rb"^upgrade:.*\r\n", re.IGNORECASE | re.MULTILINE)


class StrictProtocol(JsonErrorsProtocol):
    """A connection that answers one request after the other, and waits only so long for a head."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # httptools takes 0.043 ms for a head and h11 0.175, but h11 is stricter (docs/decisions/0014)
        self._splitter = RequestSplitter()
        self._head: RequestHead
        self._is_message_complete = True
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start to wait for the first head."""
        super().connection_made(transport)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop to wait for a head."""
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read what has arrived, as far as it is complete."""
        self._splitter.receive(data)
        self._read_requests()

    def on_response_complete(self) -> None:
        """Read the next request, which may have arrived already."""
        super().on_response_complete()
        if not self.transport.is_closing():
            self._read_requests()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field without the white space behind its value, which the parser keeps."""
        super().on_header(name, value.rstrip(b" \t"))

    def on_headers_complete(self) -> None:
        """Start to answer a request, under the request line that ``http_framing`` has read."""
        super().on_headers_complete()
        raw_path, _, query = self._head.target.partition(b"?")
        self.scope["method"], self.scope["path"] = self._head.verb, unquote(raw_path.decode("ascii"))
        self.scope["raw_path"], self.scope["query_string"] = raw_path, query

    def on_message_complete(self) -> None:
        """Note that the parser has reached the end of the request."""
        self._is_message_complete = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer in the form of all our errors where an answer is still possible, and close."""
        is_new_request = self.cycle is None or self._is_message_complete
        if is_new_request or not self.cycle.response_started:
            self.transport.write(build_bad_request())
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    @property
    def _is_answering(self) -> bool:
        """Whether the next request has to wait for an answer."""
        return (
            self._splitter.is_between_requests and self.cycle is not None and not self.cycle.response_complete
        )

    def _read_requests(self) -> None:
        try:
            while not self._is_answering and (part := self._splitter.next_part()) is not None:
                self._feed(part)
        except (AmbiguousRequest, httptools.HttpParserError):
            self.send_400_response("")
            return
        if not self._splitter.has_partial_head:
            self._stop_head_timer()
        elif self._is_answering:
            self._stop_head_timer()
            # requests that a caller sends ahead must not fill the memory
            self.flow.pause_reading()
        else:
            self._unset_keepalive_if_required()
            self._start_head_timer()

    def _feed(self, part: RequestHead | bytes) -> None:
        if isinstance(part, RequestHead):
            self._unset_keepalive_if_required()
            self._head, self._is_message_complete = part, False
            self.cycle = None  # type: ignore[assignment]  # the request before is answered
            # the parser knows only some verbs, takes CONNECT for a tunnel, and absolute targets for paths
            # and stops before the body where it reads an upgrade; we offer none, and ignore it: RFC 9110 7.8
            part = b"GET / %b\r\n%b" % (part.version, _UPGRADE.sub(b"", part.fields))
        self.parser.feed_data(part)
        if self._splitter.is_between_requests and not self._is_message_complete:
            raise AmbiguousRequest("the parser reads another length")

    def _start_head_timer(self) -> None:
        # a head that arrives byte by byte must not start the timer again and again
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(_HEAD_TIMEOUT_S, self.transport.close)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
