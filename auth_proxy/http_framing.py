"""Cut the bytes of an HTTP/1.1 connection into parts that every program reads in the same way.

Request smuggling needs bytes that two programs read differently. So this module describes the only form that
a request may have, and refuses every other form. It does no input or output.

Source:
    RFC 9110 sections 5.5 and 5.6.2 (fields, tokens), RFC 9112 sections 2.2 (line ends), 3 (request line),
    3.2 (Host), 5.2 (obsolete folding), 6.3 (length of the body), 7.1 (chunks and trailers).
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

MAX_HEAD_BYTES: Final = 32768
_MAX_HEAD_LINES: Final = 100
_MAX_CHUNK_LINE_BYTES: Final = 275
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_FIELDS: Final = rb"(?:" + _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n"
_HEAD: Final = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e]+) (HTTP/1\.[01])\r\n(" + _FIELDS + rb")")
_TRAILERS: Final = re.compile(_FIELDS)
_HOST: Final = re.compile(rb"(?im)^host:")
_LENGTH: Final = re.compile(rb"(?im)^content-length:[ \t]*(.*?)[ \t]*\r$")
_CODING: Final = re.compile(rb"(?im)^transfer-encoding:[ \t]*(.*?) *\r$")  # httptools refuses a tab behind
_NUMBER: Final = re.compile(rb"0|[1-9]\d{0,17}")  # not what others read as octal, and within 64 bits
# within 64 bits; without the spaces and the bare CR that some programs skip (docs/decisions/0036)
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e]{0,256})?\r\n")
# programs differ in how they read a bare LF, a bare CR and a folded line
_HOPELESS: Final = re.compile(rb"\A[^\x21-\x7e]|(?<!\r)\n|\r[^\n]|\n[ \t]")
_LINE_END: Final = b"\r\n"


class AmbiguousRequest(Exception):
    """The bytes are not HTTP/1.1, or two programs could read them differently."""


@dataclass(frozen=True)
class RequestHead:
    """A request line and its header fields.

    Args:
        fields: The lines of the header fields, with the empty line behind them.
        body_bytes: Length of the body; None where the body comes in chunks.
    """

    verb: str
    target: bytes
    version: bytes
    fields: bytes
    body_bytes: int | None


def parse_head(head: bytes) -> RequestHead:
    """Read the head of a request, its empty line included.

    Raises:
        AmbiguousRequest: The head has more than one reading, or none.
    """
    match = _HEAD.fullmatch(head)
    if match is None or head.count(b"\n") > _MAX_HEAD_LINES + 1:
        raise AmbiguousRequest("the head is malformed")
    verb, target, version, fields = match.groups()
    hosts = len(_HOST.findall(fields))
    if hosts > 1 or (hosts == 0 and version == b"HTTP/1.1"):
        raise AmbiguousRequest("the head must name one host")
    return RequestHead(verb.decode("ascii"), target, version, fields, _body_bytes(version, fields))


def _body_bytes(version: bytes, fields: bytes) -> int | None:
    lengths, codings = _LENGTH.findall(fields), _CODING.findall(fields)
    if not codings:
        if len(lengths) > 1 or not all(_NUMBER.fullmatch(length) for length in lengths):
            raise AmbiguousRequest("the length of the body has more than one reading")
        return int(lengths[0]) if lengths else 0
    # programs differ in whether the length or the coding counts: so a request may not have both
    if lengths or version == b"HTTP/1.0" or [coding.lower() for coding in codings] != [b"chunked"]:
        raise AmbiguousRequest("the coding of the body has more than one reading")
    return None


class _Next(Enum):
    """What the next bytes of the connection are."""

    HEAD = auto()
    BODY = auto()
    CHUNK_SIZE = auto()
    CHUNK = auto()
    CHUNK_END = auto()
    TRAILERS = auto()


class RequestSplitter:
    """Cuts what arrives on one connection into heads and parts of bodies, in the order of arrival."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._scanned_bytes = 0
        self._next = _Next.HEAD
        self._left_bytes = 0

    @property
    def is_between_requests(self) -> bool:
        """Whether the next part is the head of a request."""
        return self._next is _Next.HEAD

    @property
    def has_partial_head(self) -> bool:
        """Whether the head of a request has begun to arrive."""
        return self.is_between_requests and bool(self._received)

    def receive(self, data: bytes) -> None:
        """Add what has arrived."""
        self._received += data

    def next_part(self) -> RequestHead | bytes | None:
        """Take the next part; None while it has not arrived.

        Returns:
            A head, or a part of the body for the HTTP parser. Chunks come without their extensions. An empty
            line stands for the trailers, which must not become header fields (RFC 9110 section 6.5.1).

        Raises:
            AmbiguousRequest: What has arrived has more than one reading.
        """
        if not self._received:
            return None
        match self._next:
            case _Next.HEAD:
                return self._take_head()
            case _Next.CHUNK_SIZE:
                return self._take_chunk_size()
            case _Next.CHUNK_END:
                return self._take_chunk_end()
            case _Next.TRAILERS:
                return self._take_trailers()
        return self._take_content()

    def _take_head(self) -> RequestHead | None:
        lines = self._take_lines()
        if lines is None:
            return None
        head = parse_head(lines)
        if head.body_bytes is None:
            self._next = _Next.CHUNK_SIZE
        elif head.body_bytes:
            self._next, self._left_bytes = _Next.BODY, head.body_bytes
        return head

    def _take_content(self) -> bytes:
        content = self._take_bytes(min(self._left_bytes, len(self._received)))
        self._left_bytes -= len(content)
        if not self._left_bytes:
            self._next = _Next.HEAD if self._next is _Next.BODY else _Next.CHUNK_END
        return content

    def _take_chunk_size(self) -> bytes | None:
        end = self._received.find(b"\r\n", 0, _MAX_CHUNK_LINE_BYTES)
        if end < 0 and len(self._received) < _MAX_CHUNK_LINE_BYTES:
            return None
        match = _CHUNK_LINE.fullmatch(self._take_bytes(end + 2))
        if match is None:
            raise AmbiguousRequest("the size of a chunk has more than one reading")
        self._left_bytes = int(match[1], 16)
        self._next = _Next.CHUNK if self._left_bytes else _Next.TRAILERS
        # without extensions, which the parser need not read (docs/decisions/0014)
        return match[1] + b"\r\n"

    def _take_chunk_end(self) -> bytes | None:
        if len(self._received) < len(_LINE_END):
            return None
        if self._take_bytes(len(_LINE_END)) != _LINE_END:
            raise AmbiguousRequest("the chunk is longer than its size")
        self._next = _Next.CHUNK_SIZE
        return _LINE_END

    def _take_trailers(self) -> bytes | None:
        if self._received.startswith(_LINE_END):
            lines: bytes | None = self._take_bytes(len(_LINE_END))
        else:
            lines = None if self._received == b"\r" else self._take_lines()
        if lines is None:
            return None
        if not _TRAILERS.fullmatch(lines) or lines.count(b"\n") > _MAX_HEAD_LINES:
            raise AmbiguousRequest("the trailers are malformed")
        self._next = _Next.HEAD
        # httptools would report the trailers as header fields (docs/decisions/0014)
        return _LINE_END

    def _take_lines(self) -> bytes | None:
        """Take the lines up to an empty line, and refuse early what can no longer become valid."""
        # the empty line may have begun in what was scanned before
        end = self._received.find(_LINE_END * 2, max(0, self._scanned_bytes - 3))
        if (end if end >= 0 else len(self._received)) > MAX_HEAD_BYTES:
            raise AmbiguousRequest("the head is too long")
        if end >= 0:
            return self._take_bytes(end + 4)
        if _HOPELESS.search(self._received, max(0, self._scanned_bytes - 1)):
            raise AmbiguousRequest("the head is malformed")
        self._scanned_bytes = len(self._received)
        return None

    def _take_bytes(self, size: int) -> bytes:
        taken = bytes(self._received[:size])
        del self._received[:size]
        self._scanned_bytes = 0
        return taken
