"""V2 over gRPC through the proxy."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_proxy.allow_list import GRPC_ROUTES
from auth_proxy.grpc_proxy import read_model_version
from proof.lab.proxy import Issuer, Proxy, read_log_lines
from proof.lab.stand_in_transformer import VERSION, Upstream
from tests.auth_proxy.conftest import StartProxy

SERVICE = "/inference.GRPCInferenceService/"
INFER = SERVICE + "ModelInfer"
MAX_BYTES = 8 * 2**20


@pytest.fixture
def channel(proxy: Proxy) -> Iterator[grpc.Channel]:
    """A channel to the proxy."""
    options = [("grpc.max_send_message_length", MAX_BYTES), ("grpc.max_receive_message_length", MAX_BYTES)]
    with grpc.insecure_channel(f"127.0.0.1:{proxy.grpc_port}", options=options) as channel:
        yield channel


@pytest.fixture
def token(local_issuer: Issuer) -> tuple[str, str]:
    """The metadata of a good token."""
    return ("authorization", f"Bearer {local_issuer.issue_token()}")


def ask(channel: grpc.Channel, method: str, request: bytes, *metadata: tuple[str, str], **more: Any) -> bytes:
    """Call a method with bytes."""
    call = channel.unary_unary(method)
    return call(request, metadata=metadata, **{"timeout": 20, **more})  # type: ignore[no-any-return]


def refused(
    channel: grpc.Channel, method: str, request: bytes, *metadata: tuple[str, str], **more: Any
) -> Any:
    """Call a method, and return the error that it ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        ask(channel, method, request, *metadata, **more)
    return caught.value


SCOPED = [method for method, route in GRPC_ROUTES.items() if route.scope]


@pytest.mark.parametrize("method", SCOPED)
def test_a_method_passes_as_bytes(
    channel: grpc.Channel, upstream: Upstream, token: tuple[str, str], method: str
) -> None:
    """Request and answer pass unchanged, whatever their bytes."""
    request = bytes(range(256)) * 20
    assert ask(channel, method, request, token).endswith(request)
    assert (upstream.grpc_calls[-1][0], upstream.grpc_calls[-1][2]) == (method, request)


def test_only_metadata_of_the_proxy_reach_the_transformer(
    channel: grpc.Channel, upstream: Upstream, token: tuple[str, str]
) -> None:
    """The principal is that of the token, the deadline is passed on, and other metadata do not arrive."""
    spoofed = (("x-pleura-principal", "admin"), ("x-user", "admin"), ("cookie", "a"), ("x-request-id", "g1"))
    ask(channel, INFER, b"a", token, *spoofed, timeout=3)
    _, metadata, _ = upstream.grpc_calls[-1]
    assert (metadata["x-pleura-principal"], metadata["x-request-id"]) == ("somebody", "g1")
    assert metadata["traceparent"].startswith("00-")
    assert not {"authorization", "x-user", "cookie"} & metadata.keys()
    assert 0 < metadata["remaining_s"] < 3.5  # gRPC rounds up when it writes a deadline down


@pytest.mark.parametrize(
    "method",
    [
        SERVICE + "RepositoryModelLoad",
        SERVICE + "RepositoryModelUnload",
        SERVICE + "RepositoryIndex",
        SERVICE + "modelinfer",
        SERVICE + "ModelInfer/",
        "//inference.GRPCInferenceService/ModelInfer",
        "/pleura.Model/Describe",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    ],
)
def test_any_other_method_is_unknown(
    channel: grpc.Channel, upstream: Upstream, token: tuple[str, str], method: str
) -> None:
    """Load, unload and the inner methods cannot be called."""
    assert refused(channel, method, b"", token).code() is grpc.StatusCode.UNIMPLEMENTED
    assert not upstream.grpc_calls


@pytest.mark.parametrize("value", [None, "", "Bearer x", "Basic YTpi", "Bearer a.b.c"])
def test_without_a_good_token_nothing_is_forwarded(
    channel: grpc.Channel, upstream: Upstream, value: str | None
) -> None:
    """Every method but those of health answers UNAUTHENTICATED."""
    metadata = () if value is None else (("authorization", value),)
    for method in SCOPED:
        error = refused(channel, method, b"", *metadata)
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        has_token = any(value.startswith("Bearer") for _, value in metadata)
        challenge = 'Bearer realm="pleura"' + (', error="invalid_token"' if has_token else "")
        assert dict(error.trailing_metadata())["www-authenticate"] == challenge
    assert not upstream.grpc_calls


def test_a_scope_allows_its_methods_only(channel: grpc.Channel, local_issuer: Issuer) -> None:
    """A token with the scope to read does not allow an inference."""
    reader = ("authorization", f"Bearer {local_issuer.issue_token(scopes=['model:read'])}")
    error = refused(channel, INFER, b"", reader)
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    challenge = 'Bearer realm="pleura", error="insufficient_scope", scope="radiograph:classify"'
    assert dict(error.trailing_metadata())["www-authenticate"] == challenge
    assert ask(channel, SERVICE + "ServerMetadata", b"", reader)


def test_two_tokens_are_refused(channel: grpc.Channel, token: tuple[str, str]) -> None:
    """Two ``authorization`` entries are refused."""
    error = refused(channel, INFER, b"", ("authorization", "Bearer x"), token)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_an_error_of_the_transformer_is_passed_on(channel: grpc.Channel, token: tuple[str, str]) -> None:
    """Status, message and code are those of the transformer."""
    error = refused(channel, INFER, b"fail", token)
    assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "no radiograph of that id")
    assert ("pleura-error", "radiograph_not_found") in error.trailing_metadata()


def test_an_error_in_another_form_is_not_passed_on(channel: grpc.Channel, token: tuple[str, str]) -> None:
    """A message that the transformer did not write itself does not reach the caller."""
    error = refused(channel, INFER, b"crash", token)
    assert (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, "internal error")


def test_a_deadline_is_kept(channel: grpc.Channel, upstream: Upstream, token: tuple[str, str]) -> None:
    """The call ends at the caller's deadline, and at the time-out of the proxy."""
    upstream.delay_s = 30
    started = time.monotonic()
    assert refused(channel, INFER, b"", token, timeout=0.3).code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert refused(channel, INFER, b"", token, timeout=28).code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - started < 25


def test_a_message_that_is_too_large_is_refused(channel: grpc.Channel, token: tuple[str, str]) -> None:
    """The call ends with RESOURCE_EXHAUSTED before the whole message is read."""
    error = refused(channel, INFER, bytes(3 * 2**20), token)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_rate_and_a_transformer_that_is_down_have_their_status(
    start_proxy: StartProxy, local_issuer: Issuer, free_port: Any
) -> None:
    """A transformer that is down is UNAVAILABLE, and too many requests are RESOURCE_EXHAUSTED."""
    port = free_port()
    proxy = start_proxy(transformer_grpc=f"127.0.0.1:{port}", rate_per_s=0.001, burst=1)
    metadata = ("authorization", f"Bearer {local_issuer.issue_token()}")
    with grpc.insecure_channel(f"127.0.0.1:{proxy.grpc_port}") as channel:
        down = refused(channel, INFER, b"", metadata, wait_for_ready=True)
        limited = refused(channel, INFER, b"", metadata)
    assert (down.code(), limited.code()) == (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert str(port) not in down.details()
    assert ("retry-after", "2") in down.trailing_metadata()
    assert "retry-after" in dict(limited.trailing_metadata())


def test_each_call_writes_one_log_line(channel: grpc.Channel, proxy: Proxy, token: tuple[str, str]) -> None:
    """The line has the method, the principal and the version of the model."""
    ask(channel, INFER, b"a", token, ("x-request-id", "audit-g"))
    lines = [json.loads(line) for line in proxy.log.read_text().splitlines()]
    (line,) = [each for each in lines if each.get("request_id") == "audit-g"]
    assert (line["route"], line["principal"], line["model_version"]) == (
        "grpc_ModelInfer",
        "somebody",
        VERSION,
    )


@given(st.binary(max_size=200))
def test_any_answer_names_a_version_or_none(response: bytes) -> None:
    """Malformed bytes give no version and no error."""
    version = read_model_version(response)
    assert version is None or version.isascii()


def test_who_has_no_token_is_refused_before_the_message_arrives(
    channel: grpc.Channel, upstream: Upstream
) -> None:
    """Calls without a token that never send their message are refused at once."""
    never = threading.Event()

    def silent() -> Iterator[bytes]:
        never.wait(20)
        yield from ()

    calls = [channel.stream_unary(INFER).future(silent(), timeout=20) for _ in range(50)]
    codes = {call.exception(timeout=10).code() for call in calls}
    never.set()
    assert codes == {grpc.StatusCode.UNAUTHENTICATED}
    assert not upstream.grpc_calls


def test_a_call_without_a_message_is_refused(
    channel: grpc.Channel, upstream: Upstream, token: tuple[str, str]
) -> None:
    """A good token does not help a call that has no message."""
    with pytest.raises(grpc.RpcError) as caught:
        channel.stream_unary(INFER)(iter(()), metadata=(token,), timeout=20)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not upstream.grpc_calls


def test_the_log_line_of_a_refusal_has_its_status(
    channel: grpc.Channel, proxy: Proxy, token: tuple[str, str]
) -> None:
    """A refusal of the transformer has its HTTP status in the log, not 500."""
    refused(channel, INFER, b"fail", token, ("x-request-id", "audited"))
    (line,) = read_log_lines(proxy, "audited")
    assert line["status"] == 404
