"""Valid requests that are refused because of the caller, the rate or a missing predictor."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import grpc
import pytest

from pleura.local.dependencies import free_port
from pleura.local.pleura_services import Ports, Service, start_service
from proof.lab.transformer import TransformerParts
from tests.conformance.checks import check_grpc_error, check_http_error
from tests.conformance.conftest import make_token, start_proxy
from tests.conformance.servers import V2Server, V2Servers
from tests.conformance.v2_request import V2Request
from tests.conformance.ways import CODES

_INFER = "/v2/models/chest-xray/infer"
_BODY, _HEADERS = V2Request().encode_json()
_MESSAGE = V2Request().to_message().SerializeToString()


@pytest.fixture(scope="module")
def unready_transformer(
    parts: TransformerParts, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[V2Server]:
    """A transformer whose predictor does not answer."""
    folder = tmp_path_factory.mktemp("unready_transformer")
    environment = parts.build_environment(
        PLEURA_PREDICTOR_ADDRESS=f"127.0.0.1:{free_port()}", PLEURA_SPOOL_FOLDER=str(folder / "spool")
    )
    ports = Ports(free_port(), free_port())
    service = start_service("transformer", folder, ports, environment, "/v2/health/live")
    yield V2Server("transformer", service)
    service.stop()


@pytest.fixture(scope="module")
def proxy_of_unready(
    unready_transformer: V2Server, issuer: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[V2Server]:
    """A proxy in front of that transformer, which allows a principal three requests."""
    folder = tmp_path_factory.mktemp("strict")
    few = {"PLEURA_RATE_PER_S": "0.001", "PLEURA_BURST": "3"}
    service = start_proxy(folder, issuer, unready_transformer.service, "/healthz", **few)
    yield V2Server("proxy", service, make_token(issuer))
    service.stop()


@dataclass(frozen=True)
class ExpectedRefusal:
    """The status and the error text of a refusal."""

    status: int
    error: str


_UNREADY = ExpectedRefusal(503, "the model is not ready")
_TOO_MANY = ExpectedRefusal(429, "too many requests of this principal")


def _check_refusal(server: V2Server, servers: V2Servers, expected: ExpectedRefusal) -> None:
    """Check that REST and gRPC refuse a request in the same way."""
    answer = server.send("POST", _INFER, _BODY, _HEADERS)
    assert (answer.status, answer.document["error"]) == (expected.status, expected.error)
    check_http_error(servers, answer, server.name == "proxy")
    over_grpc = server.call("ModelInfer", _MESSAGE)
    assert (over_grpc.code, over_grpc.details) == (CODES[expected.status], expected.error)
    check_grpc_error(servers, over_grpc)
    assert over_grpc.trailing["retry-after"] == answer.headers["retry-after"]


def test_without_a_predictor_an_answer_says_when_to_retry(
    unready_transformer: V2Server, servers: V2Servers, count_run: Callable[..., None]
) -> None:
    """A transformer without a predictor is live and not ready, and answers 503 with Retry-After."""
    count_run(case="turned-away-unready", transport="rest", server="transformer", client="raw")
    assert unready_transformer.send("GET", "/v2/health/live").document == {"live": True}
    ready = unready_transformer.send("GET", "/v2/health/ready")
    assert (ready.status, ready.document) == (503, {"ready": False})
    _check_refusal(unready_transformer, servers, _UNREADY)


def test_the_proxy_passes_the_refusal_on_until_the_rate_is_used_up(
    proxy_of_unready: V2Server, servers: V2Servers, count_run: Callable[..., None]
) -> None:
    """The proxy passes 503 on with its Retry-After. A principal over its rate gets 429 with one."""
    count_run(case="turned-away-too-often", transport="rest", server="proxy", client="raw")
    _check_refusal(proxy_of_unready, servers, _UNREADY)
    proxy_of_unready.send("GET", "/v2")
    _check_refusal(proxy_of_unready, servers, _TOO_MANY)


def _make_proxy_server(servers: V2Servers, token: str | None) -> V2Server:
    return V2Server("proxy", servers["proxy"].service, token)


@pytest.mark.parametrize("token", [None, "rubbish", "unscoped"])
def test_a_caller_without_a_token_or_scope_is_refused(
    token: str | None, servers: V2Servers, issuer: Service, count_run: Callable[..., None]
) -> None:
    """No token or a bad one gets 401, and a token without the scope 403, with one text in REST and gRPC."""
    count_run(case=f"turned-away-{token}", transport="rest", server="proxy", client="raw")
    server = _make_proxy_server(servers, make_token(issuer, "model:read") if token == "unscoped" else token)
    status = 403 if token == "unscoped" else 401
    answer = server.send("POST", _INFER, _BODY, _HEADERS)
    assert answer.status == status
    check_http_error(servers, answer, via_proxy=True)
    over_grpc = server.call("ModelInfer", _MESSAGE)
    assert (over_grpc.code, over_grpc.details) == (CODES[status], answer.document["error"])
    check_grpc_error(servers, over_grpc)


def test_reading_needs_only_the_reading_scope(
    servers: V2Servers, issuer: Service, count_run: Callable[..., None]
) -> None:
    """A token with the reading scope gets metadata and health, over REST and gRPC."""
    count_run(case="reading-scope", transport="rest", server="proxy", client="raw")
    server = _make_proxy_server(servers, make_token(issuer, "model:read"))
    for path in ("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/chest-xray"):
        assert server.send("GET", path).status == 200
    assert server.call("ServerMetadata", b"").code is grpc.StatusCode.OK
