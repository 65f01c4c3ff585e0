"""``POST /feedback`` at the proxy: what reaches the transformer, and what comes back."""

from typing import Any

import httpx
import pytest

from proof.lab.stand_in_transformer import Upstream, build_stored_feedback
from tests.support.errors import check_error

SAID = {"id": "r1", "verdicts": {"Mass": True}, "had_seen_answer": False}


def test_the_transformer_gets_verdicts_and_principal(client: httpx.Client, upstream: Upstream) -> None:
    """The body arrives unchanged. Headers carry the token's principal and the request id, nothing else."""
    sent = {"x-request-id": "f1", "x-pleura-principal": "dr-evil", "cookie": "a=b", "x-user": "dr-evil"}
    said = client.post("/feedback", json=SAID, headers=sent)
    assert (said.status_code, said.json()) == (201, build_stored_feedback())
    request, body = upstream.last
    assert body == said.request.content
    assert request.headers.getlist("x-pleura-principal") == ["somebody"]
    assert request.headers["x-request-id"] == "f1"
    assert not {"cookie", "x-user", "authorization"} & set(request.headers)
    assert 0 < int(request.headers["x-request-timeout-ms"]) <= 5000


@pytest.mark.parametrize(
    ("status", "document", "headers"),
    [
        (404, {"error": "the journal holds no such answer"}, {}),
        (409, {"error": "used before"}, {}),
        (503, {"error": "verdicts cannot be stored now"}, {"retry-after": "7"}),
        (504, {"error": "too late"}, {}),
    ],
)
def test_a_refusal_is_passed_on(
    client: httpx.Client, upstream: Upstream, status: int, document: dict[str, Any], headers: dict[str, str]
) -> None:
    """Status, message and Retry-After are those of the transformer."""
    upstream.error = (status, document, headers)
    refused = client.post("/feedback", json=SAID)
    assert refused.status_code == status
    check_error(refused.json(), **document)
    assert refused.headers.get("retry-after") == headers.get("retry-after")


@pytest.mark.parametrize(
    ("status", "document"),
    [
        (200, build_stored_feedback()),
        (201, {}),
        (201, []),
        (201, {"id": "r1"}),
        (500, {"detail": "/inner/path"}),
    ],
    ids=str,
)
def test_an_answer_without_what_was_stored_is_an_error(
    client: httpx.Client, upstream: Upstream, status: int, document: Any
) -> None:
    """The proxy answers 201 only if the transformer names what it has stored."""
    upstream.error = (status, document, {})
    refused = client.post("/feedback", json=SAID)
    assert refused.status_code == 502
    check_error(refused.json(), code="invalid_answer")
    assert "inner" not in refused.text


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"x" * 16385, {"content-type": "application/json"}, 413),
        (b"{}", {"content-type": "text/plain"}, 400),
        (b"{}", {}, 400),
        (b"{}", {"content-type": "multipart/form-data; boundary=b"}, 400),
        (b"{}", {"content-type": "application/json", "content-encoding": "gzip"}, 400),
    ],
)
def test_only_small_json_reaches_the_transformer(
    client: httpx.Client, upstream: Upstream, content: bytes, headers: dict[str, str], status: int
) -> None:
    """A large body, another type and a compressed one do not reach the transformer."""
    assert client.post("/feedback", content=content, headers=headers).status_code == status
    assert upstream.requests == []
