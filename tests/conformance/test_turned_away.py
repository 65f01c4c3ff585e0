"""Requests that are good and yet not answered: who asks, how often, and with what behind it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import grpc
import pytest

from pleura.local.dependencies import free_port
from pleura.local.pleura_services import Ports, Service, start_service
from proof.lab.transformer import TransformerParts
from tests.conformance.checks import check_grpc_error, check_http_error
from tests.conformance.conftest import start_proxy, token_of
from tests.conformance.hops import Hop, Hops
from tests.conformance.question import Question
from tests.conformance.ways import CODES

_INFER = "/v2/models/chest-xray/infer"
_BODY, _HEADERS = Question().as_json()
_MESSAGE = Question().as_message().SerializeToString()


@pytest.fixture(scope="module")
def sick(parts: TransformerParts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hop]:
    """A transformer whose predictor does not answer."""
    folder = tmp_path_factory.mktemp("sick")
    environment = parts.build_environment(
        PLEURA_PREDICTOR_ADDRESS=f"127.0.0.1:{free_port()}", PLEURA_SPOOL_FOLDER=str(folder / "spool")
    )
    ports = Ports(free_port(), free_port())
    service = start_service("transformer", folder, ports, environment, "/v2/health/live")
    yield Hop("transformer", service)
    service.stop()


@pytest.fixture(scope="module")
def before_sick(sick: Hop, issuing: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hop]:
    """A proxy in front of it, which lets a principal ask three times."""
    folder = tmp_path_factory.mktemp("strict")
    few = {"PLEURA_RATE_PER_S": "0.001", "PLEURA_BURST": "3"}
    service = start_proxy(folder, issuing, sick.service, "/healthz", **few)
    yield Hop("proxy", service, token_of(issuing))
    service.stop()


@dataclass(frozen=True)
class Turned:
    """How a request is turned away."""

    status: int
    error: str


_UNREADY = Turned(503, "the model is not ready")
_TOO_MANY = Turned(429, "too many requests of this principal")


def _check(hop: Hop, hops: Hops, expected: Turned) -> None:
    """The same happens over REST and over gRPC."""
    answer = hop.ask("POST", _INFER, _BODY, _HEADERS)
    assert (answer.status, answer.document) == (expected.status, {"error": expected.error})
    check_http_error(hops, answer, hop.name == "proxy")
    over_grpc = hop.call("ModelInfer", _MESSAGE)
    assert (over_grpc.code, over_grpc.details) == (CODES[expected.status], expected.error)
    check_grpc_error(hops, over_grpc, hop.name == "proxy")
    assert over_grpc.trailing["retry-after"] == answer.headers["retry-after"]


def test_without_a_predictor_it_says_when_to_come_back(
    sick: Hop, hops: Hops, count_run: Callable[..., None]
) -> None:
    """A transformer that cannot answer is alive, not ready, and says 503 with Retry-After, over gRPC too."""
    count_run(case="turned-away-unready", transport="rest", hop="transformer", client="raw")
    assert sick.ask("GET", "/v2/health/live").document == {"live": True}
    ready = sick.ask("GET", "/v2/health/ready")
    assert (ready.status, ready.document) == (503, {"ready": False})
    _check(sick, hops, _UNREADY)


def test_the_proxy_says_the_same_and_then_that_it_is_too_often(
    before_sick: Hop, hops: Hops, count_run: Callable[..., None]
) -> None:
    """503 passes with its Retry-After; a principal that has used up its rate gets 429 with one."""
    count_run(case="turned-away-too-often", transport="rest", hop="proxy", client="raw")
    _check(before_sick, hops, _UNREADY)
    before_sick.ask("GET", "/v2/health/live")
    _check(before_sick, hops, _TOO_MANY)


def _without_scope(hops: Hops, token: str | None) -> Hop:
    return Hop("proxy", hops["proxy"].service, token)


@pytest.mark.parametrize("token", [None, "rubbish", "unscoped"])
def test_who_may_not_ask_is_told_so(
    token: str | None, hops: Hops, issuing: Service, count_run: Callable[..., None]
) -> None:
    """No token or a bad one is 401, one without the scope 403, in the same words over REST and gRPC."""
    count_run(case=f"turned-away-{token}", transport="rest", hop="proxy", client="raw")
    hop = _without_scope(hops, token_of(issuing, "model:read") if token == "unscoped" else token)
    status = 403 if token == "unscoped" else 401
    answer = hop.ask("POST", _INFER, _BODY, _HEADERS)
    assert answer.status == status
    check_http_error(hops, answer, via_proxy=True)
    over_grpc = hop.call("ModelInfer", _MESSAGE)
    assert (over_grpc.code, over_grpc.details) == (CODES[status], answer.document["error"])
    check_grpc_error(hops, over_grpc, via_proxy=True)


def test_reading_needs_less_than_asking(hops: Hops, issuing: Service, count_run: Callable[..., None]) -> None:
    """A token that may read may see metadata and health, over REST and gRPC."""
    count_run(case="reading-scope", transport="rest", hop="proxy", client="raw")
    hop = _without_scope(hops, token_of(issuing, "model:read"))
    for path in ("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/chest-xray"):
        assert hop.ask("GET", path).status == 200
    assert hop.call("ServerMetadata", b"").code is grpc.StatusCode.OK
