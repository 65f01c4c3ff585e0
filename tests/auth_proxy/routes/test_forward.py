"""What passes through to the transformer, and what comes back."""

import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from proof.lab.module_process import wait_until
from proof.lab.proxy import Issuer, Proxy, read_log_lines
from proof.lab.service_key import KEY
from proof.lab.stand_in_transformer import VERSION, Upstream
from tests.support.errors import check_error

INFER = "/v2/models/chest-xray/infer"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_v2_request_and_its_answer_pass_unchanged(client: httpx.Client, upstream: Upstream) -> None:
    """The body arrives to the byte, and the answer comes back as the transformer sent it."""
    body = b'{"inputs": []}' + bytes(range(256))
    headers = {"inference-header-content-length": "14", "content-type": "application/octet-stream"}
    answer = client.post(INFER, content=body, headers=headers)
    request, arrived = upstream.last
    assert (answer.status_code, answer.json()["model_version"]) == (200, VERSION)
    assert arrived == body
    assert request.headers["inference-header-content-length"] == "14"


def test_a_large_body_streams_through(client: httpx.Client, upstream: Upstream) -> None:
    """A body of many chunks arrives whole."""
    body = bytes(range(256)) * 6000

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(body), 100_000):
            yield body[start : start + 100_000]

    assert client.post(INFER, content=body).status_code == 200
    assert upstream.last[1] == body
    assert client.post(INFER, content=chunks()).status_code == 200
    assert upstream.last[1] == body


def test_only_allowed_headers_reach_the_transformer(client: httpx.Client, upstream: Upstream) -> None:
    """Token, identities, hop-by-hop headers, cookies and foreign traces do not arrive, in any spelling."""
    spoofed = {
        "x-pleura-principal": "admin",
        "x_pleura_principal": "admin",
        "x-pleura-service-key": "forged",
        "x-user": "admin",
        "x-forwarded-for": "10.0.0.1",
        "x-forwarded-host": "evil",
        "forwarded": "for=10.0.0.1",
        "x-real-ip": "10.0.0.1",
        "x-original-url": "/v2/repository",
        "x-http-method-override": "DELETE",
        "x-b3-traceid": "1",
        "b3": "1",
        "baggage": "user=admin",
        "cookie": "session=1",
        "proxy-authorization": "Basic YTpi",
        "te": "trailers",
        "connection": "keep-alive, x-user, content-encoding",
        "content-encoding": "identity",
        "traceparent": TRACE,
    }
    assert client.post(INFER, content=b"{}", headers=spoofed).status_code == 200
    arrived = dict(upstream.last[0].headers)
    assert arrived.pop("x-pleura-principal") == "somebody"
    assert arrived.pop("x-pleura-service-key") == KEY
    version, trace_id, parent_id, flags = arrived.pop("traceparent").split("-")
    assert f"{version}-{trace_id}-" == TRACE[:36]
    assert (parent_id != TRACE.split("-")[2], flags) == (
        True,
        TRACE[-2:],
    )
    assert arrived.keys() <= {
        "host",
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "user-agent",
        "x-request-id",
        "x-request-timeout-ms",
    }


def test_the_request_id_is_kept_and_returned(client: httpx.Client, upstream: Upstream) -> None:
    """The caller's id reaches the transformer and comes back. A caller without an id gets a new one."""
    answer = client.post(INFER, content=b"{}", headers={"x-request-id": "abc-1"})
    assert answer.headers["x-request-id"] == upstream.last[0].headers["x-request-id"] == "abc-1"
    answer = client.post(INFER, content=b"{}")
    assert answer.headers["x-request-id"] == upstream.last[0].headers["x-request-id"] != "abc-1"


@pytest.mark.parametrize(
    "headers",
    [
        [("x-request-id", "a b")],
        [("x-request-id", "")],
        [("x-request-id", "a" * 129)],
        [("x-request-id", "a"), ("x-request-id", "b")],
        [("content-type", "a/b"), ("content-type", "c/d")],
        [("inference-header-content-length", "1"), ("inference-header-content-length", "2")],
        [("x-request-timeout-ms", "soon")],
        [("x-request-timeout-ms", "0")],
    ],
)
def test_a_header_with_two_meanings_is_refused(
    client: httpx.Client, upstream: Upstream, headers: list[tuple[str, str]]
) -> None:
    """A malformed or double header is an error. The proxy does not choose or replace a value."""
    answer = client.post(INFER, content=b"{}", headers=headers)
    assert answer.status_code == 400
    check_error(answer.json(), code="invalid_request", request_id=answer.headers["x-request-id"])
    assert not upstream.requests


@pytest.mark.parametrize(
    "parent", ["", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "x", TRACE.upper(), TRACE + "-x"]
)
def test_an_invalid_trace_is_replaced_by_a_new_one(
    client: httpx.Client, upstream: Upstream, parent: str
) -> None:
    """The transformer gets a valid ``traceparent`` in any case."""
    client.post(INFER, content=b"{}", headers={"traceparent": parent, "tracestate": "a=b"})
    arrived = upstream.last[0].headers
    assert arrived["traceparent"].count("-") == 3
    assert arrived["traceparent"] != parent
    assert "tracestate" not in arrived


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422, 429, 500, 502, 503, 504])
def test_an_error_of_the_transformer_is_passed_on(
    client: httpx.Client, upstream: Upstream, status: int
) -> None:
    """Status, message and details are those of the transformer. A 503 always has Retry-After."""
    document = {"error": "element 0: why", "request_id": "inner", "reason": "not_chest", "host": "10.0.0.1"}
    upstream.error = (status, document, {"x-inner": "http://10.0.0.1"})
    answer = client.post(INFER, content=b"{}", headers={"x-request-id": "f2"})
    assert answer.status_code == status
    check_error(answer.json(), error="element 0: why", request_id="f2", reason="not_chest")
    assert "10.0.0.1" not in answer.text
    assert ("retry-after" in answer.headers) == (status == 503)
    assert "x-inner" not in answer.headers


def test_an_error_in_another_form_is_not_passed_on(client: httpx.Client, upstream: Upstream) -> None:
    """An error in another form than ours does not reach the caller."""
    upstream.error = (500, {"detail": "http://10.0.0.1/inner"}, {})
    answer = client.post(INFER, content=b"{}")
    assert answer.status_code == 502
    assert "inner" not in answer.text


@pytest.mark.parametrize(
    "path", ["/v2", "/v2/models", "/v2/models/chest-xray", "/v2/models/chest-xray/versions/1/ready"]
)
def test_the_transformer_answers_the_reading_routes(
    client: httpx.Client, upstream: Upstream, path: str
) -> None:
    """The reading routes of V2 reach the same path of the transformer."""
    answer = client.get(path)
    assert (answer.status_code, answer.json()["path"]) == (200, path)


def test_a_body_that_is_too_large_is_refused(client: httpx.Client, upstream: Upstream) -> None:
    """With or without a declared length. The answer arrives while the body is still being sent."""
    body = bytes(3 * 2**20)
    assert client.post(INFER, content=body).status_code == 413
    assert client.post(INFER, content=iter([body])).status_code == 413
    assert client.post(INFER, content=b"{}").status_code == 200


def test_a_slow_transformer_is_not_waited_for(client: httpx.Client, upstream: Upstream) -> None:
    """The proxy keeps the caller's deadline, and passes it to the transformer."""
    upstream.delay_s = 12
    started = time.monotonic()
    answer = client.post(INFER, content=b"{}", headers={"x-request-timeout-ms": "300"})
    assert answer.status_code == 504
    assert time.monotonic() - started < 10
    assert 0 < int(upstream.last[0].headers["x-request-timeout-ms"]) <= 300


def test_work_for_a_disconnected_caller_is_cancelled(
    proxy: Proxy, upstream: Upstream, local_issuer: Issuer
) -> None:
    """The proxy closes its own connection, and the log line says that the caller had disconnected."""
    upstream.delay_s = 2
    head = f"POST {INFER} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {local_issuer.issue_token()}\r\n"
    with socket.create_connection(("127.0.0.1", proxy.http_port)) as connection:
        connection.sendall(f"{head}x-request-id: gone-1\r\ncontent-length: 2\r\n\r\n{{}}".encode())
        wait_until(lambda: bool(upstream.requests))
    wait_until(lambda: bool(read_log_lines(proxy, "gone-1")))
    assert read_log_lines(proxy, "gone-1")[0]["outcome"] == "client_gone"


def test_each_request_writes_one_log_line(client: httpx.Client, proxy: Proxy) -> None:
    """The line has principal, route, outcome and model version, and neither the token nor the body."""
    client.post(INFER, content=b"JANE^DOE", headers={"x-request-id": "audit-1"})
    (line,) = read_log_lines(proxy, "audit-1")
    assert (line["principal"], line["route"], line["status"]) == ("somebody", "v2_infer", 200)
    assert (line["outcome"], line["model_version"], line["bytes_in"]) == ("answered", VERSION, 8)
    client.get("/JANE%5EDOE?name=JANE", headers={"x-request-id": "audit-2"})
    (line,) = read_log_lines(proxy, "audit-2")
    assert (line["route"], line["status"], line["outcome"]) == (None, 404, "not_found")
    text = proxy.log.read_text()
    assert "JANE" not in text
    assert client.headers["authorization"].removeprefix("Bearer ") not in text
