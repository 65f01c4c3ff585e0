"""``GET /answers`` at the proxy: what reaches the transformer, and what comes back."""

import json
from typing import Any

import httpx
import pytest

from pleura.findings import FINDINGS
from proof.lab.proxy import Issuer, Proxy, read_log_lines
from proof.lab.stand_in_transformer import DIGEST, Upstream


def _radiograph(digest: str = DIGEST) -> dict[str, Any]:
    findings = [{"name": name, "probability": 0.25, "present": False, "threshold": 0.5} for name in FINDINGS]
    return {"position": 0, "model": {"digest": digest}, "findings": findings}


SHOWN: dict[str, Any] = {"request_id": "r1", "answered_to": "somebody", "radiographs": [_radiograph()]}
PAGE: dict[str, Any] = {"answers": [_radiograph()], "next": None, "complete": True}


@pytest.mark.parametrize(
    ("target", "path", "asked"),
    [
        ("/answers/r1", "/answers/show", {"request_id": "r1"}),
        ("/answers/r1?answered_to=ris", "/answers/show", {"request_id": "r1", "answered_to": "ris"}),
        (
            "/answers?accession_number=A%204711&limit=5",
            "/answers/find",
            {"accession_number": "A 4711", "limit": "5"},
        ),
        (
            "/answers/r1/overlay?finding=Mass&position=2",
            "/answers/overlay",
            {"request_id": "r1", "finding": "Mass", "position": "2"},
        ),
    ],
)
def test_the_transformer_gets_path_and_query_in_a_body(
    client: httpx.Client, upstream: Upstream, target: str, path: str, asked: dict[str, str]
) -> None:
    """The URL holds nothing that the caller wrote. The principal comes from the token."""
    upstream.error = (200, SHOWN | PAGE, {})
    sent = {"x-pleura-principal": "evil", "x-pleura-reads-all": "1", "cookie": "a=b"}
    response = client.get(target, headers=sent)
    assert response.status_code == 200, response.text
    request, body = next(each for each in upstream.requests if each[0].url.path != "/model-info")
    assert (request.method, request.url.path, request.url.query) == ("POST", path, "")
    assert json.loads(body) == asked
    assert request.headers.getlist("x-pleura-principal") == ["somebody"]
    assert not {"x-pleura-reads-all", "cookie", "authorization"} & set(request.headers)
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "document"), [("/answers/r1", SHOWN), ("/answers?accession_number=A", PAGE)]
)
def test_the_proxy_adds_whether_a_finding_is_measured(
    client: httpx.Client, upstream: Upstream, path: str, document: dict[str, Any]
) -> None:
    """Of a model that it does not know, it says that nobody knows."""
    upstream.error = (200, document, {})
    shown = client.get(path).json()
    (radiograph,) = shown.get("radiographs", shown.get("answers"))
    assert {each["name"] for each in radiograph["findings"] if each["measured"] is False} == {"Hernia"}
    upstream.error = (200, SHOWN | {"radiographs": [_radiograph("e" * 64)]}, {})
    (radiograph,) = client.get("/answers/r1").json()["radiographs"]
    assert {each["measured"] for each in radiograph["findings"]} == {None}


def test_only_a_token_with_the_scope_reads_all(
    proxy: Proxy, upstream: Upstream, local_issuer: Issuer
) -> None:
    """The transformer is told by a header. The scope alone opens no route."""
    upstream.error = (200, SHOWN, {})
    both = local_issuer.issue_token("auditor", ["answers:read", "answers:read_all"])
    alone = local_issuer.issue_token("auditor", ["answers:read_all"])
    with httpx.Client(base_url=proxy.url, trust_env=False) as http:
        assert http.get("/answers/r1", headers={"authorization": f"Bearer {both}"}).status_code == 200
        request, _ = next(each for each in upstream.requests if each[0].url.path != "/model-info")
        assert request.headers.getlist("x-pleura-reads-all") == ["1"]
        assert http.get("/answers/r1", headers={"authorization": f"Bearer {alone}"}).status_code == 403


def test_the_log_has_neither_query_nor_path(client: httpx.Client, upstream: Upstream, proxy: Proxy) -> None:
    """A query may name a patient's study, also where it is refused."""
    for target in ("/answers?accession_number=Zqv1", "/answers?patient=Zqv2", "/answers/Zqv3?limit=Zqv4"):
        client.get(target)
    (line,) = read_log_lines(proxy, client.get("/answers/Zqv5").headers["x-request-id"])
    assert line["route"] == "answers_show"
    assert "Zqv" not in proxy.log.read_text()


@pytest.mark.parametrize("document", [{}, [], "x", {"radiographs": [{}]}, {"radiographs": "x"}], ids=str)
def test_a_malformed_answer_is_an_error(client: httpx.Client, upstream: Upstream, document: Any) -> None:
    """Nothing of it reaches the caller."""
    upstream.error = (200, document, {})
    refused = client.get("/answers/r1")
    assert refused.status_code == 502
