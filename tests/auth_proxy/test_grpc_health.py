"""Health over gRPC needs no token, and gives strangers nothing else."""

import threading
from collections.abc import Iterator

import grpc
import pytest

from pleura.serving.grpc_health import CHECK_METHOD, HEALTH_SERVICE, V2_SERVICE, write_text_message
from proof.lab.module_process import wait_until
from proof.lab.proxy import Issuer, Proxy
from proof.lab.stand_in_transformer import Upstream

SERVICE = f"/{V2_SERVICE}/"
MODEL = write_text_message("chest-xray")
WITH_VERSION = MODEL + b"\x12\x011"
YES, NO, NOT_SERVING = b"\x08\x01", b"", b"\x08\x02"


@pytest.fixture
def channel(proxy: Proxy) -> Iterator[grpc.Channel]:
    """A channel to the proxy, without a token."""
    with grpc.insecure_channel(f"127.0.0.1:{proxy.grpc_port}") as channel:
        yield channel


def call(channel: grpc.Channel, method: str, message: bytes = b"", **more: object) -> bytes | str:
    """Call a method. Return the answer, or the name of the status."""
    try:
        answer: bytes = channel.unary_unary(method)(message, timeout=10, **more)
    except grpc.RpcError as error:
        return str(error.code().name)
    return answer


HEALTH = [
    (SERVICE + "ServerLive", b"", YES, YES),
    (SERVICE + "ServerReady", b"", YES, NO),
    (SERVICE + "ModelReady", MODEL, YES, NO),
    (CHECK_METHOD, b"", YES, NOT_SERVING),
    (CHECK_METHOD, write_text_message(V2_SERVICE), YES, NOT_SERVING),
    (CHECK_METHOD, write_text_message(HEALTH_SERVICE), YES, NOT_SERVING),
]


@pytest.mark.parametrize(("method", "message", "expected", "unready"), HEALTH)
def test_health_needs_no_token(
    channel: grpc.Channel, upstream: Upstream, method: str, message: bytes, expected: bytes, unready: bytes
) -> None:
    """The proxy answers by itself, also while the transformer is not ready."""
    wait_until(lambda: call(channel, method, message) == expected, 10)
    upstream.ready = False
    wait_until(lambda: call(channel, method, message) == unready, 10)
    upstream.ready = True
    wait_until(lambda: call(channel, method, message) == expected, 10)
    assert not upstream.grpc_calls


@pytest.mark.parametrize(
    "message", [b"", WITH_VERSION, write_text_message("other"), b"\xff\xff", MODEL + b"\x0a\x00"]
)
def test_strangers_learn_only_whether_the_model_is_ready(
    channel: grpc.Channel, upstream: Upstream, local_issuer: Issuer, message: bytes
) -> None:
    """Another model, a version and any other message need a token. With a token they are forwarded."""
    assert call(channel, SERVICE + "ModelReady", message) == "UNAUTHENTICATED"
    assert not upstream.grpc_calls
    token = ("authorization", f"Bearer {local_issuer.issue_token()}")
    assert isinstance(call(channel, SERVICE + "ModelReady", message, metadata=(token,)), bytes)
    assert upstream.grpc_calls[-1][2] == message


def test_other_methods_of_the_health_service_do_not_exist(channel: grpc.Channel) -> None:
    """A watch would hold a place for calls. A service that is not there is not found."""
    assert call(channel, f"/{HEALTH_SERVICE}/Watch") == "UNIMPLEMENTED"
    assert call(channel, CHECK_METHOD, write_text_message("other")) == "NOT_FOUND"


def test_checks_that_never_arrive_hold_few_places(channel: grpc.Channel, proxy: Proxy) -> None:
    """Callers who send no message get an error within seconds, and liveness is answered meanwhile."""
    never = threading.Event()

    def silent() -> Iterator[bytes]:
        never.wait(20)
        yield from ()

    calls = [channel.stream_unary(CHECK_METHOD).future(silent(), timeout=20) for _ in range(50)]
    assert call(channel, SERVICE + "ServerLive") == YES
    codes = [each.exception(timeout=10).code().name for each in calls]
    never.set()
    assert set(codes) == {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
    assert codes.count("DEADLINE_EXCEEDED") <= 16
    assert call(channel, CHECK_METHOD) == YES
