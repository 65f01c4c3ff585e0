"""Who may call a model server: services with the key; strangers may ask for health and metrics."""

import json
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from pleura.serving.grpc_server import DESCRIBE_METHOD
from proof.lab.service_key import HEADERS, KEY
from tests.support.echo_server import EchoServer, start_echo
from tests.support.errors import check_error

EVIL = {"host": "evil.example"}
INFER = "/v2/models/echo/infer"
OPEN = ("/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready", "/v2/models/echo/ready")
CLOSED = (
    "/v2",
    "/v2/models",
    "/v2/models/echo",
    "/v2/models/echo/versions/7/ready",
    "/model-info",
    "/nowhere",
)
FROM_PAGES = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/json-x")


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoServer]:
    """A server that requires the key."""
    echo = start_echo(key=KEY)
    yield echo
    echo.process.terminate()
    assert echo.process.wait(30) == 0


@pytest.fixture
def client(echo: EchoServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=echo.http, timeout=30, trust_env=False) as client:
        yield client


def _document(element: str = "abc") -> dict[str, Any]:
    return {"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1], "data": [element]}]}


def _message() -> Any:
    x = pb.ModelInferRequest.InferInputTensor(name="x", datatype="BYTES", shape=[1])
    x.contents.bytes_contents.append(b"abc")
    return pb.ModelInferRequest(model_name="echo", inputs=[x])


@pytest.mark.parametrize("path", OPEN)
def test_strangers_may_ask_for_health_and_metrics(client: httpx.Client, path: str) -> None:
    """kubelet and Prometheus have no key. A wrong key shows a mistake in the settings already here."""
    assert client.get(path).status_code == 200
    assert client.get(path, headers=HEADERS | EVIL).status_code == 200
    refused = client.get(path, headers={"x-pleura-service-key": "a" * 40})
    assert refused.status_code == 401
    refused = client.get(path, headers=EVIL)
    assert (refused.status_code, refused.json()["code"]) == (421, "unknown_host")


@pytest.mark.parametrize("path", CLOSED)
def test_everything_else_needs_the_key(client: httpx.Client, path: str) -> None:
    """A path that does not exist needs it too, so no route is open by mistake."""
    for headers in ({}, {"x-pleura-service-key": KEY[:-1]}):
        refused = client.get(path, headers={**headers, "x-request-id": "e-1"})
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Pleura-Service-Key"
        check_error(refused.json(), code="service_key_required", request_id="e-1")
    assert client.get(path, headers=HEADERS).status_code == (404 if path == "/nowhere" else 200)


def test_an_inference_needs_the_key(client: httpx.Client) -> None:
    """The principal of a caller without it is not believed either."""
    refused = client.post(INFER, json=_document(), headers={"x-pleura-principal": "dr-a"})
    assert (refused.status_code, refused.json()["code"]) == (401, "service_key_required")
    twice = [*HEADERS.items(), *HEADERS.items()]
    assert client.post(INFER, json=_document(), headers=twice).status_code == 401
    assert client.post(INFER, json=_document(), headers=HEADERS | EVIL).status_code == 200


@pytest.mark.parametrize("kind", FROM_PAGES)
def test_a_media_type_that_a_page_may_send_is_refused(client: httpx.Client, kind: str) -> None:
    """With the key as well."""
    refused = client.post(INFER, content=b"{}", headers=HEADERS | {"content-type": kind})
    assert refused.status_code == 415
    check_error(refused.json(), code="unsupported_media_type")


def test_a_service_may_leave_the_media_type_out(client: httpx.Client) -> None:
    """NVIDIA's client does."""
    content = json.dumps(_document()).encode()
    assert client.post(INFER, content=content, headers=HEADERS).status_code == 200


@pytest.fixture(scope="module")
def trusting() -> Iterator[EchoServer]:
    """A server that trusts the network."""
    echo = start_echo()
    yield echo
    echo.process.terminate()
    assert echo.process.wait(30) == 0


def test_a_page_gets_nothing_in_a_trusted_network(trusting: EchoServer) -> None:
    """There it lacks no key. It cannot name an allowed host, or send JSON without asking the server."""
    json_type, asked = {"content-type": "application/json"}, {"access-control-request-method": "POST"}
    with httpx.Client(base_url=trusting.http, timeout=30, trust_env=False) as page:
        content = json.dumps(_document()).encode()
        assert page.post(INFER, content=content, headers=json_type).status_code == 200
        assert page.post(INFER, content=content, headers=json_type | EVIL).status_code == 421
        assert page.post(INFER, content=content).status_code == 415
        for kind in FROM_PAGES:
            assert page.post(INFER, content=content, headers={"content-type": kind}).status_code == 415
        assert "access-control-allow-origin" not in page.options(INFER, headers=asked).headers


def test_no_answer_of_a_server_lets_a_page_read_it(client: httpx.Client) -> None:
    """A server sends no CORS headers, and a browser does not run the metrics as a script."""
    origin = {"origin": "https://evil.example"}
    for path in OPEN:
        answer = client.get(path, headers=origin)
        assert not any(name.startswith("access-control") for name in answer.headers)
    metrics = client.get("/metrics").headers
    assert (metrics["x-content-type-options"], metrics["cross-origin-resource-policy"]) == (
        "nosniff",
        "same-origin",
    )
    asked = {
        **origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }
    assert client.options(INFER, headers=asked).status_code == 401


def test_grpc_needs_the_key(echo: EchoServer) -> None:
    """All methods but health answer UNAUTHENTICATED, with the metadata of every error."""
    with grpc.insecure_channel(echo.grpc) as channel:
        stub = GRPCInferenceServiceStub(channel)
        assert stub.ServerLive(pb.ServerLiveRequest()).live
        assert stub.ServerReady(pb.ServerReadyRequest()).ready
        assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"") == b"\x08\x01"
        describe = channel.unary_unary(DESCRIBE_METHOD)
        calls = (
            (stub.ModelInfer, _message()),
            (stub.ServerMetadata, pb.ServerMetadataRequest()),
            (stub.ModelMetadata, pb.ModelMetadataRequest(name="echo")),
            (describe, b""),
        )
        key = tuple(HEADERS.items())
        for call, message in calls:
            for metadata in ((), (("x-pleura-service-key", "a" * 40),), key + key):
                with pytest.raises(grpc.RpcError) as caught:
                    call(message, metadata=(*metadata, ("x-request-id", "g-1")))
                assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
                sent = dict(caught.value.trailing_metadata())
                assert (sent["pleura-error"], sent["x-request-id"]) == ("service_key_required", "g-1")
            assert call(message, metadata=key)


def test_refusals_are_counted(client: httpx.Client) -> None:
    """An operator sees wrong keys in the metrics; no line of the log is written for a stranger."""
    client.get("/v2", headers=EVIL)
    client.get("/v2")
    client.post(INFER, headers=HEADERS, content=b"")
    lines = client.get("/metrics").text.splitlines()
    counts = dict(line.rsplit(" ", 1) for line in lines if line.startswith("pleura_refusals_total"))
    for code in ("service_key_required", "unknown_host", "unsupported_media_type"):
        assert float(counts[f'pleura_refusals_total{{reason="{code}"}}']) >= 1
