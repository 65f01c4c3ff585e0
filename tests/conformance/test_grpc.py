"""gRPC messages byte by byte, through the proxy and directly."""

from collections.abc import Callable

import grpc
import pytest

from tests.conformance.checks import check_grpc_error
from tests.conformance.grpc_case import GrpcCase
from tests.conformance.grpc_cases import CASES
from tests.conformance.servers import V2Servers
from tests.conformance.v2_request import Tensor, V2Request


@pytest.mark.parametrize(
    ("case", "server"),
    [pytest.param(case, server, id=f"{case.name}-{server}") for case in CASES for server in case.servers],
)
def test_a_message_is_answered_or_refused(
    case: GrpcCase, server: str, servers: V2Servers, count_run: Callable[..., None]
) -> None:
    """Every server answers a message, or refuses it with the same code and text."""
    count_run(case=f"grpc-{case.name}", transport="grpc", server=server, client="raw")
    answer = servers[server].call(case.method, case.message, case.metadata, compression=case.compression)
    details = answer.details if case.details is None else case.details
    assert (answer.code, answer.details) == (case.code, details)
    if case.code is grpc.StatusCode.OK:
        assert case.check(answer)
    else:
        check_grpc_error(servers, answer)


@pytest.mark.parametrize("server", ["proxy", "transformer"])
@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_message_over_the_limit_is_refused(
    server: str, compression: grpc.Compression, servers: V2Servers, count_run: Callable[..., None]
) -> None:
    """A message over the limit, compressed or not, is refused with RESOURCE_EXHAUSTED."""
    count_run(case=f"grpc-over-the-limit-{compression.name}", transport="grpc", server=server, client="raw")
    message = V2Request((Tensor("image", (bytes(60_000_000),)),)).to_message().SerializeToString()
    answer = servers[server].call("ModelInfer", message, compression=compression)
    assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    check_grpc_error(servers, answer)
