"""Bytes of connections, cut into heads and parts of bodies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_proxy.http_framing import MAX_HEAD_BYTES, AmbiguousRequest, RequestHead, RequestSplitter, parse_head
from proof.attacks import http_cases, http_syntax

TABLES = (http_cases.FRAMING, http_cases.CHUNKS, *http_syntax.TABLES.values())
STREAMS = [case.raw for table in TABLES for case in table.values() if len(case.raw) < 2 * MAX_HEAD_BYTES]
FIRST = b"POST / HTTP/1.1\r\nHost: a\r\n"


def split(*packets: bytes) -> list[RequestHead | bytes | str]:
    """Cut a connection. Neighbouring parts of a body are joined, and a refusal is the last part."""
    splitter, parts = RequestSplitter(), list[RequestHead | bytes | str]()
    for packet in packets:
        splitter.receive(packet)
        try:
            while (part := splitter.next_part()) is not None:
                if isinstance(part, bytes) and parts and isinstance(parts[-1], bytes):
                    parts[-1] += part
                else:
                    parts.append(part)
        except AmbiguousRequest:
            return [*parts, "refused"]
    return parts


def head(*fields: bytes) -> bytes:
    """Write a head with these header fields."""
    return FIRST + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_packets_make_no_difference(size: int) -> None:
    """Every stream of the attack tables gives the same parts in whichever packets it arrives."""
    for stream in STREAMS:
        packets = [stream[start : start + size] for start in range(0, len(stream), size)]
        assert split(*packets) == split(stream)


def test_a_body_of_known_length_ends_where_the_next_head_begins() -> None:
    """Two requests and the beginning of a third are cut apart."""
    first = head(b"Content-Length: 5")
    parts = split(first + b"12345" + head() + FIRST)
    assert parts == [parse_head(first), b"12345", parse_head(head())]


def test_chunks_lose_their_extensions_and_trailers() -> None:
    """The HTTP parser gets neither of them."""
    chunked = head(b"Transfer-Encoding: chunked")
    parts = split(chunked + b"3;a=b\r\n123\r\n0\r\nAuthorization: x\r\n\r\n" + head())
    assert parts == [parse_head(chunked), b"3\r\n123\r\n0\r\n\r\n", parse_head(head())]


def test_a_head_names_its_parts() -> None:
    """Verb, target and version are what the request line has, to the byte."""
    read = parse_head(b"POST /a?b#c HTTP/1.0\r\nContent-Length: 7\r\n\r\n")
    assert read == RequestHead("POST", b"/a?b#c", b"HTTP/1.0", b"Content-Length: 7\r\n\r\n", 7)
    assert parse_head(head(b"Transfer-Encoding: CHUNKED")).body_bytes is None


@pytest.mark.parametrize(
    "start", [b"\x16\x03\x01", b" GET", b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r\nA: b\r\n c", b"A\r\r"]
)
def test_what_cannot_become_a_head_is_refused_before_its_end(start: bytes) -> None:
    """A connection that sends nonsense need not be waited for."""
    assert split(start) == ["refused"]


def test_a_head_that_does_not_end_is_refused() -> None:
    """No more than the longest head is held in memory."""
    assert split(FIRST + b"X: " + b"y" * MAX_HEAD_BYTES) == ["refused"]
    assert split(FIRST) == []


@given(st.binary(max_size=200))
def test_an_accepted_head_has_only_whole_line_ends(fields: bytes) -> None:
    """No head with a lone CR or LF is accepted."""
    try:
        accepted = parse_head(FIRST + fields + b"\r\n\r\n")
    except AmbiguousRequest:
        return
    assert not set(accepted.fields.replace(b"\r\n", b"")) & set(b"\r\n")
