"""Tables of raw requests that the newer freedoms open: other bodies of /classify, HEAD, and CORS.

None of them may reach the transformer.
"""

from collections.abc import Mapping
from typing import Final

from proof.attacks.attacked_proxy import INFER
from proof.attacks.http_attack import Case
from proof.attacks.http_cases import HIDDEN, build_request, expect_answer

_RELATED: Final = b'multipart/related; type="application/dicom"; boundary=b'
_FORM: Final = b"multipart/form-data; boundary=b"
_DICOM: Final = b"Content-Type: application/dicom\r\n\r\n"
_FILE: Final = b'Content-Disposition: form-data; name="file"; filename="f"\r\n'


def build_upload(content_type: bytes, body: bytes, *lines: bytes) -> bytes:
    """Build a request with a good token that sends a body to /classify."""
    head = (b"Content-Type: " + content_type, b"Content-Length: %d" % len(body), *lines)
    return build_request(b"POST /classify HTTP/1.1", *head, body=body)


def build_parts(*parts: bytes, end: bytes = b"--b--\r\n") -> bytes:
    """Build a multipart body."""
    return b"".join(b"--b\r\n" + part + b"DICM\r\n" for part in parts) + end


_TWO: Final = build_parts(_DICOM, _DICOM)
# the head alone is reason enough to refuse these, so their bodies are not read
_UNREAD: Final = {
    "a second part behind another boundary": (_RELATED + b"; boundary=c", _TWO),
    "two boundaries, the first in quotes": (b'multipart/related; boundary="b"; boundary=c', _TWO),
    "a boundary in a quoted parameter": (b'multipart/related; start="; boundary=c"; boundary=b', _TWO),
    "a continued boundary": (b"multipart/related; boundary*0=b; boundary*1=c", build_parts(_DICOM)),
    "an encoded boundary": (b"multipart/related; boundary*=utf-8''b", build_parts(_DICOM)),
    "an empty boundary": (b"multipart/related; boundary=", b"--\r\n" + _DICOM + b"DICM\r\n----\r\n"),
    "no boundary": (b"multipart/related", build_parts(_DICOM)),
    "a boundary of 71 bytes": (b"multipart/related; boundary=" + b"b" * 71, build_parts(_DICOM)),
    "related of another type": (b'multipart/related; type="text/html"; boundary=b', build_parts(_DICOM)),
    "related of XOP": (b'multipart/related; type="application/xop+xml"; boundary=b', build_parts(_DICOM)),
    "multipart/mixed": (b"multipart/mixed; boundary=b", build_parts(_DICOM)),
    "two types in one": (b"application/dicom, " + _FORM, build_parts(_FILE + b"\r\n")),
    "DICOM in JSON": (b"application/dicom+json", b"[]"),
    "an id as text": (b"text/plain", b'{"image_id": "a"}'),
}
_READ: Final = {
    # of several films one would be answered, and a filter before the proxy may have seen another one
    "two parts": (_RELATED, _TWO),
    "two files": (_FORM, build_parts(_FILE + b"\r\n", _FILE + b"\r\n")),
    "a file and a field": (
        _FORM,
        build_parts(_FILE + b"\r\n", b'Content-Disposition: form-data; name="a"\r\n\r\n'),
    ),
    "a request before the first boundary": (_RELATED, HIDDEN + build_parts(_DICOM)),
    "a line end and a request before it": (_RELATED, b"\r\n" + HIDDEN + build_parts(_DICOM)),
    "no end": (_RELATED, build_parts(_DICOM, end=b"")),
    "no part": (_RELATED, b"--b--\r\n"),
    "bare LF": (_RELATED, build_parts(_DICOM).replace(b"\r\n", b"\n")),
    # what a part says of itself
    "a part of another type": (_RELATED, build_parts(b"Content-Type: text/html\r\n\r\n")),
    "a part without a type": (_RELATED, build_parts(b"\r\n")),
    "a form as related": (_RELATED, build_parts(_FILE + b"\r\n")),
    "related as a form": (_FORM, build_parts(_DICOM)),
    "a multipart part": (_RELATED, build_parts(b"Content-Type: multipart/related; boundary=b\r\n\r\n")),
    "base64 in a part": (_RELATED, build_parts(b"Content-Transfer-Encoding: base64\r\n" + _DICOM)),
    "a part with 100 headers": (_RELATED, build_parts(b"A: b\r\n" * 100 + _DICOM)),
    "a part with a long header": (_RELATED, build_parts(b"A: " + b"b" * 20_000 + b"\r\n" + _DICOM)),
    "a header with a space in its name": (_RELATED, build_parts(b"Content-Type : application/dicom\r\n\r\n")),
    "an id and a file": (b"application/json", b'{"image_id": "a", "image": "AAAA"}'),
}
BODIES: Final[Mapping[str, Case]] = {
    **{name: expect_answer(build_upload(*upload), 400, ends=True) for name, upload in _UNREAD.items()},
    **{name: expect_answer(build_upload(*upload), 400) for name, upload in _READ.items()},
    "two types": Case(build_upload(b"application/dicom", b"DICM", b"Content-Type: application/json")),
    "compressed": expect_answer(
        build_upload(b"application/dicom", b"DICM", b"Content-Encoding: gzip"), 400, ends=True
    ),
    "V2 as a file": expect_answer(
        build_upload(b"application/octet-stream", b"{}", b"Inference-Header-Content-Length: 2"),
        400,
        ends=True,
    ),
}
_PREFLIGHT: Final = (b"Origin: https://evil.example", b"Access-Control-Request-Method: POST")
CORS: Final[Mapping[str, Case]] = {
    f"{name}, {path}": expect_answer(
        build_request(b"OPTIONS " + path.encode() + b" HTTP/1.1", *lines), status
    )
    for name, lines in {
        "preflight": _PREFLIGHT,
        "preflight of null": (b"Origin: null", _PREFLIGHT[1]),
        "preflight with two origins": (_PREFLIGHT[0], *_PREFLIGHT),
        "preflight with a method of its own": (_PREFLIGHT[0], b"Access-Control-Request-Method: DELETE"),
    }.items()
    for path, status in (("/classify", 405), (INFER, 405), ("/nothing", 404), ("/metrics", 404))
}
HEALTH: Final[Mapping[str, Case]] = {
    f"HEAD {path}{name}": expect_answer(
        build_request(f"HEAD {path} HTTP/1.1".encode(), *lines, body=body),
        status,
        ends=bool(body) and status >= 400,
    )
    for path, status in (
        ("/healthz", 200),
        ("/readyz", 200),
        ("/v2/health/ready", 200),
        ("/model-info", 405),
        ("/nothing", 404),
    )
    for name, lines, body in (
        ("", (), b""),
        (", with a request as its body", (b"Content-Length: %d" % len(HIDDEN),), HIDDEN),
    )
}
TABLES: Final = {"bodies": BODIES, "cors": CORS, "health": HEALTH}
