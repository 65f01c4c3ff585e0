"""gRPC to the byte, through the proxy and directly."""

from collections.abc import Callable

import grpc
import pytest

from tests.conformance.checks import check_grpc_error
from tests.conformance.grpc_cases import CASES, GrpcCase
from tests.conformance.hops import Hops
from tests.conformance.question import Question, Tensor


@pytest.mark.parametrize(
    ("case", "hop"),
    [pytest.param(case, hop, id=f"{case.name}-{hop}") for case in CASES for hop in case.hops],
)
def test_a_message_has_its_answer(
    case: GrpcCase, hop: str, hops: Hops, count_run: Callable[..., None]
) -> None:
    """A message is answered, or refused with its code, in the same words wherever it is sent."""
    count_run(case=f"grpc-{case.name}", transport="grpc", hop=hop, client="raw")
    answer = hops[hop].call(case.method, case.message, case.metadata, compression=case.compression)
    details = answer.details if case.details is None else case.details
    assert (answer.code, answer.details) == (case.code, details)
    if case.code is grpc.StatusCode.OK:
        assert case.check(answer)
    else:
        check_grpc_error(hops, answer, hop == "proxy")


@pytest.mark.parametrize("hop", ["proxy", "transformer"])
@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_a_message_over_the_limit_is_refused(
    hop: str, compression: grpc.Compression, hops: Hops, count_run: Callable[..., None]
) -> None:
    """Compressed or not, a message that is larger than the server takes is RESOURCE_EXHAUSTED."""
    count_run(case=f"grpc-over-the-limit-{compression.name}", transport="grpc", hop=hop, client="raw")
    message = Question((Tensor("image", (bytes(60_000_000),)),)).as_message().SerializeToString()
    answer = hops[hop].call("ModelInfer", message, compression=compression)
    assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    check_grpc_error(hops, answer, hop == "proxy")
