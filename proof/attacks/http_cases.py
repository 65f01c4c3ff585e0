"""Tables of raw requests whose length two programs might read differently: framing and chunks."""

from collections.abc import Mapping
from typing import Final

from proof.attacks.attacked_proxy import INFER
from proof.attacks.http_attack import Case

_POST: Final = f"POST {INFER} HTTP/1.1".encode()
_GET: Final = b"GET /v2 HTTP/1.1"
HOST: Final = b"Host: a"
_TOKEN: Final = b"Authorization: Bearer @token@"
_ID: Final = b"X-Request-Id: @attack@"
_CHUNKED: Final = b"Transfer-Encoding: chunked"
_END: Final = b"0\r\n\r\n"


def build_request(
    first: bytes, *lines: bytes, body: bytes = b"", host: bytes = HOST, request_id: bytes = _ID
) -> bytes:
    """Build a request with a good token."""
    head = [first, *([host] if host else []), _TOKEN, *([request_id] if request_id else []), *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def build_post(*lines: bytes, body: bytes = b"") -> bytes:
    """Build an inference request."""
    return build_request(_POST, *lines, body=body)


def build_get(*lines: bytes, **more: bytes) -> bytes:
    """Build a request that the transformer answers."""
    return build_request(_GET, *lines, **more)


SMUGGLED: Final = build_request(b"GET /v2/models HTTP/1.1", request_id=b"X-Request-Id: @smuggled@")
HIDDEN: Final = b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Request-Id: smuggled\r\n\r\n"
_SIZE: Final = b"Content-Length: %d" % len(HIDDEN)
_HIDDEN_CHUNK: Final = b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)


def expect_refusal(request: bytes) -> Case:
    """Expect one answer with 400, and that nothing behind the request is read."""
    return Case(request + SMUGGLED)


def expect_forwarded(request: bytes, body: bytes = b"{}", ends: bool = False) -> Case:
    """Expect that the transformer gets one request and answers it."""
    return Case(request, ((200, "attack"),), ("attack",), ends, body)


def expect_answer(request: bytes, status: int, ends: bool = False) -> Case:
    """Expect that the proxy itself answers one request."""
    return Case(request, ((status, "attack"),), ends=ends)


CODINGS: Final = (
    *(
        b"xchunked",
        b"chunkedx",
        b"chunked, identity",
        b"identity, chunked",
        b"gzip, chunked",
        b"chunked, chunked",
    ),
    *(
        b"identity",
        b"gzip",
        b"",
        b'"chunked"',
        b"'chunked'",
        b"chunked;q=1",
        b"chunked,",
        b",chunked",
        b"chun ked",
    ),
    *(
        b"\x0bchunked",
        b"chunked\x0b",
        b"chunked\x0c",
        b"\0chunked",
        b"chunked\0",
        b"\xa0chunked",
        b"chunked\x85",
    ),
    *(
        b"\rchunked",
        b"chunked\r",
        b"\nchunked",
        b"chunked\n",
        b"\r\n chunked",
        b"\r\n\tchunked",
        b"\xefchunked",
    ),
)
# Python's int() takes signs, spaces, underscores and the digits of other scripts.
LENGTHS: Final = (
    *(
        b"+2",
        b"-2",
        b"- 2",
        b"2 2",
        b"2, 2",
        b"2,2",
        b"2,",
        b",2",
        b"0x2",
        b"0b10",
        b"2.0",
        b"2e0",
        b"2;",
        b'"2"',
    ),
    *(
        b"02",
        b"0002",
        b"",
        b"two",
        b"1_0",
        b"\xd9\xa2",
        b"\xb2",
        b"2\x0b",
        b"\x0b2",
        b"2\0",
        b"2\xa0",
        b"\r\n 2",
    ),
    *(b"9" * 40, b"18446744073709551618", b"4294967298,", b"NaN", b"Infinity", b"2\r", b"\r2"),
)
FRAMING: Final[Mapping[str, Case]] = {
    **{
        f"TE {value!r}": expect_refusal(
            build_post(b"Transfer-Encoding: " + value, body=b"2\r\n{}\r\n" + _END)
        )
        for value in CODINGS
    },
    **{
        f"CL {value!r:.40}": expect_refusal(build_post(b"Content-Length: " + value, body=b"{}"))
        for value in LENGTHS
    },
    # docs/decisions/0036: of two lengths, two programs may believe different ones.
    "CL.TE": expect_refusal(build_post(b"Content-Length: 4", _CHUNKED, body=_END)),
    "TE.CL": expect_refusal(build_post(_CHUNKED, b"Content-Length: 4", body=_END)),
    "TE.CL, tab": expect_refusal(build_post(b"Transfer-Encoding:\tchunked", b"Content-Length: 4", body=_END)),
    "CL.TE, odd coding": expect_refusal(build_post(b"Content-Length: 5", b"Transfer-Encoding: x", body=_END)),
    "TE twice": expect_refusal(build_post(_CHUNKED, _CHUNKED, body=_END)),
    "TE twice, the first identity": expect_refusal(
        build_post(b"Transfer-Encoding: identity", _CHUNKED, body=_END)
    ),
    "TE twice, the last identity": expect_refusal(
        build_post(_CHUNKED, b"Transfer-Encoding: identity", body=_END)
    ),
    "TE, space before the colon": expect_refusal(build_post(b"Transfer-Encoding : chunked", body=_END)),
    "TE, tab before the colon": expect_refusal(build_post(b"Transfer-Encoding\t: chunked", body=_END)),
    "TE, NUL before the colon": expect_refusal(build_post(b"Transfer-Encoding\0: chunked", body=_END)),
    "TE, led by a space": expect_refusal(build_post(b" Transfer-Encoding: chunked", body=_END)),
    "TE behind a bare CR": expect_refusal(build_post(b"X: y\rTransfer-Encoding: chunked", body=_END)),
    "TE behind a bare LF": expect_refusal(build_post(b"X: y\nTransfer-Encoding: chunked", body=_END)),
    # HTTP/1.0 has no transfer codings (RFC 9112 section 6.1).
    "TE in HTTP/1.0": expect_refusal(build_request(_POST.replace(b"1.1", b"1.0"), _CHUNKED, body=_END)),
    "CL twice, equal": expect_refusal(build_post(*[b"Content-Length: 2"] * 2, body=b"{}")),
    "CL twice, different": expect_refusal(build_post(b"Content-Length: 0", b"Content-Length: 2", body=b"{}")),
    "CL twice, one in capitals": expect_refusal(
        build_post(b"CONTENT-LENGTH: 2", b"content-length: 2", body=b"{}")
    ),
    "CL, space before the colon": expect_refusal(build_post(b"Content-Length : 2", body=b"{}")),
    "CL folded away": expect_refusal(build_post(b"X: y\r\n Content-Length: 2", body=b"{}")),
    "CL behind a bare CR": expect_refusal(build_post(b"X: y\rContent-Length: 2", body=b"{}")),
    "TE in capitals": expect_forwarded(build_post(b"Transfer-Encoding: CHUNKED", body=b"2\r\n{}\r\n" + _END)),
    "TE.0": expect_forwarded(build_post(_CHUNKED, body=_HIDDEN_CHUNK), HIDDEN),
    # A server that ignores the body takes it for the next request.
    "CL.0": expect_forwarded(build_post(_SIZE, body=HIDDEN), HIDDEN),
    "CL.0 of a GET": expect_forwarded(build_get(_SIZE, body=HIDDEN), b""),
    "TE.0 of a GET": expect_forwarded(build_get(_CHUNKED, body=_HIDDEN_CHUNK), b""),
    "CL.0 of a GET that we answer": expect_answer(
        build_request(b"GET /healthz HTTP/1.1", _SIZE, body=HIDDEN), 200
    ),
    "CL.0 of a path that is none": expect_answer(
        build_request(b"GET /x HTTP/1.1", _SIZE, body=HIDDEN), 404, ends=True
    ),
    "CL.0 of a HEAD": expect_answer(build_request(b"HEAD /v2 HTTP/1.1", _SIZE, body=HIDDEN), 405, ends=True),
    "no length": expect_forwarded(build_post(), b""),
    # CGI and WSGI make the same name of both spellings.
    "underscore twins of the lengths": expect_forwarded(
        build_post(b"Content-Length: 2", b"Content_Length: 100", b"Transfer_Encoding: chunked", body=b"{}")
    ),
    # A proxy drops the headers that Connection names: it must keep the lengths.
    "lengths declared to be of this hop": expect_forwarded(
        build_post(b"Content-Length: 2", b"Connection: content-length, transfer-encoding, host", body=b"{}")
    ),
}

BAD_CHUNKS: Final[Mapping[str, bytes]] = {
    **{
        f"size {size!r:.40}": size + b"\r\n{}\r\n" + _END
        for size in (
            *(b"x", b"+2", b"-2", b"0x2", b"2h", b" 2", b"2 ", b"\t2", b"2\t", b"2 ;a", b"", b"\r\n2", b"2,"),
            *(b"2.0", b"0" * 29 + b"2", b"f" * 16 + b"2", b"100000000000000002", b"2\0", b"\0", b"2\xa0"),
            *(b"\xb2", b"1_0", b"2\r", b"2\n", b"2;a\rb", b"2;a\nb", b"2;a\0", b'2;a="x\r\ny"'),
            *(b'2;a="x\ny"', b"2;" + b"a" * 40_000),
        )
    },
    # docs/decisions/0036: a bare LF once ended a trailer, and spaces or a bare CR a size.
    "LF only": b"2\n{}\n0\n\n",
    "LF behind the size": b"2\n{}\r\n" + _END,
    "LF behind the data": b"2\r\n{}\n" + _END,
    "CR behind the size": b"2\r{}\r\n" + _END,
    "nothing behind the data": b"2\r\n{}" + _END,
    "more data than said": b"2\r\n{}}\r\n" + _END,
    "no last chunk": b"2\r\n{}\r\n",
    "last chunk without its end": b"2\r\n{}\r\n0\r\n",
    "last chunk ends with LF": b"2\r\n{}\r\n0\r\n\n",
    "last chunk ends with CR": b"2\r\n{}\r\n0\r\n\r",
    "trailer ends with LF": b"2\r\n{}\r\n0\r\nX: y\n\n",
    "trailer ends with LF, then CRLF": b"2\r\n{}\r\n0\r\nX: y\n\r\n",
    "trailers parted by LF": b"2\r\n{}\r\n0\r\nX: y\nZ: y\r\n\r\n",
    "trailer with a bare CR": b"2\r\n{}\r\n0\r\nX: y\rZ: y\r\n\r\n",
    "trailer folded": b"2\r\n{}\r\n0\r\nX: y\r\n z\r\n\r\n",
    "trailer with NUL": b"2\r\n{}\r\n0\r\nX: \0\r\n\r\n",
    "trailer without a colon": b"2\r\n{}\r\n0\r\nX\r\n\r\n",
    "trailer with a space before the colon": b"2\r\n{}\r\n0\r\nX : y\r\n\r\n",
    "trailers without end": b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 20_000,
}
GOOD_CHUNKS: Final[Mapping[str, bytes]] = {
    "extension": b"2;a=b\r\n{}\r\n" + _END,
    "extension, quoted": b'2;a="b;c"\r\n{}\r\n0;x\r\n\r\n',
    "leading zeros": b"0002\r\n{}\r\n000\r\n\r\n",
    "one byte each": b"1\r\n{\r\n1\r\n}\r\n" + _END,
    **{
        # A trailer must not become a header (RFC 9110 section 6.5.1).
        f"trailer {name}": b"2\r\n{}\r\n0\r\n%b\r\n\r\n" % name.encode()
        for name in (
            *("Content-Length: 5", "Transfer-Encoding: chunked", "Host: b", "X-Pleura-Principal: admin"),
            *("X-Request-Id: @smuggled@", "Content-Type: a/b", "Connection: close"),
        )
    },
}
CHUNKS: Final[Mapping[str, Case]] = {
    **{
        f"chunk: {name}": expect_refusal(build_post(_CHUNKED, body=body)) for name, body in BAD_CHUNKS.items()
    },
    **{
        f"chunk: {name}": expect_forwarded(build_post(_CHUNKED, body=body))
        for name, body in GOOD_CHUNKS.items()
    },
}
