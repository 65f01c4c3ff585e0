"""REST bodies that are not JSON, unusual JSON, or compressed."""

import gzip
import zlib

from tests.conformance.rest_request import GOOD, NOT_JSON, RestRequest

_TOO_LARGE = "the body exceeds 2097152 bytes"
_MEDIA_TYPE = "content-type must be application/json, or application/octet-stream"


def _add_member(name: str, text: str) -> bytes:
    return GOOD[:-1] + f', "{name}": {text}'.encode() + b"}"


_BODIES = (
    RestRequest("no-body", None, 400, "the body is empty"),
    RestRequest("empty-body", b"", 400, "the body is empty"),
    RestRequest("blank-body", b" \n", 400, NOT_JSON),
    RestRequest("text", b"hello", 400, NOT_JSON),
    RestRequest("cut-json", GOOD[:-1], 400, NOT_JSON),
    RestRequest("two-documents", GOOD * 2, 400, NOT_JSON),
    RestRequest("trailing-comma", GOOD[:-1] + b",}", 400, NOT_JSON),
    RestRequest("single-quotes", b"{'inputs': []}", 400, NOT_JSON),
    RestRequest("xml", b"<inputs/>", 400, NOT_JSON),
    RestRequest(
        "form", b"inputs=1", 415, _MEDIA_TYPE, (("content-type", "application/x-www-form-urlencoded"),)
    ),
    *(
        RestRequest(f"json-{text}", text.encode(), 400, "the body must be a JSON object")
        for text in ("null", "true", "1", '"a"', "[]", "[{}]")
    ),
    RestRequest("nan", _add_member("x", "NaN"), 400, NOT_JSON),
    RestRequest("infinity", _add_member("x", "-Infinity"), 400, NOT_JSON),
    RestRequest("number-beyond-floats", _add_member("x", "1e999"), 400, NOT_JSON),
    RestRequest("number-of-5000-digits", _add_member("x", "9" * 5000), 400, NOT_JSON),
    RestRequest("number-of-5000-decimals", _add_member("x", "0." + "1" * 5000)),
    RestRequest("nested-100000-lists", _add_member("x", "[" * 100_000 + "]" * 100_000), 400, NOT_JSON),
    RestRequest(
        "nested-100000-objects", _add_member("x", '{"a":' * 100_000 + "1" + "}" * 100_000), 400, NOT_JSON
    ),
    RestRequest("key-twice", b'{"inputs": 1, ' + GOOD[1:]),
    RestRequest("invalid-utf-8", GOOD.replace(b"r0", b"\xff0"), 400, NOT_JSON),
    RestRequest("overlong-utf-8", GOOD.replace(b"r0", b"\xc0\xaf"), 400, NOT_JSON),
    RestRequest("lone-surrogate", GOOD.replace(b"r0", b"\\ud800"), 400, NOT_JSON),
    RestRequest("byte-order-mark", b"\xef\xbb\xbf" + GOOD, 400, NOT_JSON),
    RestRequest("utf-16", GOOD.decode().encode("utf-16"), 400, NOT_JSON),
    RestRequest("nul-byte", GOOD + b"\x00", 400, NOT_JSON),
    RestRequest("unknown-members", _add_member("extra", '{"a": [1, null]}')),
    RestRequest("white-space", b"\r\n\t " + GOOD + b"  "),
    RestRequest("another-content-type", GOOD, 415, _MEDIA_TYPE, (("content-type", "text/plain"),)),
    RestRequest(
        "content-type-with-charset", GOOD, headers=(("content-type", "Application/JSON; charset=utf-8"),)
    ),
    RestRequest("body-over-the-limit", b" " * (2**21 + 1), 413, _TOO_LARGE),
    RestRequest("json-escapes", GOOD.replace(b"r0", b"\\u00720")),
)
_GZIP, _DEFLATE = (("content-encoding", "gzip"),), (("content-encoding", "deflate"),)
_CODINGS = (
    RestRequest("gzip", gzip.compress(GOOD), headers=_GZIP),
    RestRequest("deflate", zlib.compress(GOOD), headers=_DEFLATE),
    RestRequest("identity", GOOD, headers=(("content-encoding", "identity"),)),
    RestRequest("gzip-in-capitals", gzip.compress(GOOD), headers=(("content-encoding", "GZIP"),)),
    RestRequest("x-gzip", gzip.compress(GOOD), headers=(("content-encoding", "x-gzip"),)),
    RestRequest("gzip-cut", gzip.compress(GOOD)[:-9], 400, "the gzip body is cut short", _GZIP),
    RestRequest("gzip-without-checksum", gzip.compress(GOOD)[:-4], 400, "the gzip body is cut short", _GZIP),
    RestRequest(
        "gzip-wrong-checksum", gzip.compress(GOOD)[:-8] + bytes(8), 400, "the body is not gzip", _GZIP
    ),
    RestRequest("deflate-cut", zlib.compress(GOOD)[:-5], 400, "the deflate body is cut short", _DEFLATE),
    RestRequest(
        "gzip-trailing-bytes",
        gzip.compress(GOOD) + b"more",
        400,
        "the body is longer than its gzip data",
        _GZIP,
    ),
    RestRequest(
        "gzip-two-members",
        gzip.compress(GOOD) + gzip.compress(b" "),
        400,
        "the body is longer than its gzip data",
        _GZIP,
    ),
    RestRequest("gzip-twice", gzip.compress(gzip.compress(GOOD)), 400, NOT_JSON, _GZIP),
    RestRequest(
        "gzip-twice-declared",
        gzip.compress(gzip.compress(GOOD)),
        400,
        "content-encoding must be gzip or deflate",
        (("content-encoding", "gzip, gzip"),),
    ),
    RestRequest("gzip-bomb", gzip.compress(bytes(200_000_000), 1), 413, _TOO_LARGE, _GZIP),
    RestRequest("deflate-bomb", zlib.compress(bytes(200_000_000), 1), 413, _TOO_LARGE, _DEFLATE),
    RestRequest("gzip-empty", b"", 400, "the gzip body is cut short", _GZIP),
    RestRequest("gzip-of-nothing", gzip.compress(b""), 400, "the body is empty", _GZIP),
    RestRequest("not-gzip", GOOD, 400, "the body is not gzip", _GZIP),
    RestRequest("not-deflate", GOOD, 400, "the body is not deflate", _DEFLATE),
    *(
        RestRequest(
            f"coding-{coding}",
            GOOD,
            400,
            "content-encoding must be gzip or deflate",
            (("content-encoding", coding),),
        )
        for coding in ("br", "zstd", "compress", "aws-chunked", "gzip;q=1", "*")
    ),
    RestRequest(
        "accept-gzip",
        GOOD,
        headers=(("accept-encoding", "gzip"),),
        check=lambda a: "content-encoding" not in a.headers,
    ),
    RestRequest(
        "accept-anything-else",
        GOOD,
        headers=(("accept-encoding", "br, *;q=0.1"),),
        check=lambda a: "content-encoding" not in a.headers,
    ),
    RestRequest("accept-xml", GOOD, headers=(("accept", "application/xml"),)),
)
CASES = (*_BODIES, *_CODINGS)
