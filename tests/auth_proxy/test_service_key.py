"""The proxy's service key: it goes to the transformer, replaces what a caller sends, and never comes back."""

import time
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest

from proof.lab.module_process import wait_until
from proof.lab.proxy import Issuer, Proxy
from proof.lab.service_key import KEY
from proof.lab.stand_in_transformer import Upstream
from tests.auth_proxy.conftest import StartProxy
from tests.support.echo_server import EchoServer, start_echo

INFER = "/v2/models/chest-xray/infer"
METHOD = "/inference.GRPCInferenceService/ModelInfer"
OTHER_KEY = "another-service-key-of-the-transformer"
FORGED = {"x-pleura-service-key": "forged-" * 5, "x-pleura-principal": "dr-a"}
REFUSED = ({"error": "no", "code": "service_key_required"}, {"pleura-error": "service_key_required"})


@pytest.mark.parametrize("path", [INFER, "/classify", "/feedback", "/model-info", "/answers/r-1"])
def test_the_key_replaces_what_a_caller_sends(client: httpx.Client, upstream: Upstream, path: str) -> None:
    """On every route, with the principal of the token."""
    documents: dict[str, Any] = {"/classify": {"image_id": "r0.png"}}
    verb = "POST" if path in (INFER, "/classify", "/feedback") else "GET"
    document = documents.get(path, {}) if verb == "POST" else None
    answer = client.request(verb, path, json=document, headers=FORGED)
    request, _ = upstream.requests[0]
    assert request.headers.getlist("x-pleura-service-key") == [KEY]
    assert request.headers.getlist("x-pleura-principal") == ["somebody"]
    assert KEY not in answer.text + str(answer.headers)


def test_the_key_replaces_what_a_grpc_caller_sends(
    proxy: Proxy, upstream: Upstream, local_issuer: Issuer
) -> None:
    """The metadata of the caller do not reach the transformer."""
    token = ("authorization", f"Bearer {local_issuer.issue_token()}")
    with grpc.insecure_channel(f"127.0.0.1:{proxy.grpc_port}") as channel:
        answer, call = channel.unary_unary(METHOD).with_call(b"", metadata=(token, *FORGED.items()))
    metadata = upstream.grpc_calls[0][1]
    assert (metadata["x-pleura-service-key"], metadata["x-pleura-principal"]) == (KEY, "somebody")
    assert KEY not in str((answer, call.initial_metadata(), call.trailing_metadata()))


@pytest.mark.parametrize("status", [401, 421])
def test_a_caller_is_not_blamed_for_the_key_of_the_proxy(
    client: httpx.Client, proxy: Proxy, upstream: Upstream, status: int
) -> None:
    """A transformer that refuses the proxy is unavailable; its 401 would tell a caller to get a new token."""
    upstream.error = (status, *REFUSED)
    answer = client.post(INFER, json={})
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "www-authenticate" not in answer.headers
    assert "transformer_refused_proxy" in proxy.log.read_text()
    assert KEY not in proxy.log.read_text()


@pytest.fixture(scope="module")
def keyed() -> Iterator[EchoServer]:
    """A model server in the transformer's place that requires another key."""
    echo = start_echo(key=OTHER_KEY)
    yield echo
    echo.process.terminate()
    assert echo.process.wait(30) == 0


@pytest.mark.parametrize(
    ("key", "is_ready"), [(KEY, False), (f"{KEY} {OTHER_KEY}", False), (f"{OTHER_KEY} {KEY}", True)]
)
def test_a_proxy_with_a_wrong_key_is_not_ready(
    start_proxy: StartProxy, keyed: EchoServer, local_issuer: Issuer, key: str, is_ready: bool
) -> None:
    """A mistake shows before the first request. What is sent is the first key."""
    proxy = start_proxy(transformer_url=keyed.http, transformer_grpc=keyed.grpc, service_key=key)
    wait_until(lambda: httpx.get(f"{proxy.url}/readyz", trust_env=False).json()["keys"])
    time.sleep(1.1)  # the proxy asks the transformer at most once a second
    answer = httpx.get(f"{proxy.url}/readyz", trust_env=False)
    assert (answer.status_code, answer.json()["transformer"]) == (200 if is_ready else 503, is_ready)
    token = ("authorization", f"Bearer {local_issuer.issue_token()}")
    target = f"127.0.0.1:{proxy.grpc_port}"
    with grpc.insecure_channel(target) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(METHOD)(b"", metadata=(token,))
    expected = grpc.StatusCode.NOT_FOUND if is_ready else grpc.StatusCode.UNAVAILABLE
    assert caught.value.code() is expected
    assert KEY not in proxy.log.read_text()
