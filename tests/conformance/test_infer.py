"""One table of requests, each sent by two clients over every transport, through the proxy and directly."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from tests.conformance.checks import check_answer_error
from tests.conformance.infer_cases import CASES, InferCase
from tests.conformance.predictor_cases import CASES as PREDICTOR_CASES
from tests.conformance.servers import V2Servers
from tests.conformance.v2_request import Tensor, V2Request
from tests.conformance.ways import WAYS, TransportAnswer, Way
from tests.support import triton

_OUTPUTS = ("probability", "present", "typicality", "threshold", "activation_map")
_BOOLEANS = ("present", "input_flags")
_DATATYPES = dict.fromkeys((*_OUTPUTS, "distance"), "FP32") | dict.fromkeys(_BOOLEANS, "BOOL")


@dataclass(frozen=True)
class RequestRun:
    """One case with the way and the server to which it is sent."""

    case: InferCase
    way: Way
    server: str

    def __str__(self) -> str:
        return f"{self.case.name}-{self.way.transport}-{self.server}-{self.way.client}"


RUNS = [
    RequestRun(case, way, server)
    for case in (*CASES, *PREDICTOR_CASES)
    for way in WAYS
    for server in case.servers
    if way.transport not in case.impossible_transports
    and not (way.client == "triton" and case.only_raw)
    and all(way.can_send(each) for each in case.request.inputs)
]


@pytest.fixture(scope="module")
def expected(servers: V2Servers, triton_client: triton.TritonClient) -> Callable[[str], TransportAnswer]:
    """A function that returns the transformer's answer for a stored radiograph over REST JSON."""

    def request_answer(name: str) -> TransportAnswer:
        return WAYS[0].send(
            servers["transformer"], V2Request((Tensor(elements=(name,)),), _OUTPUTS), triton_client
        )

    return request_answer


@pytest.mark.parametrize("run", RUNS, ids=str)
def test_a_request_is_answered_or_refused(
    run: RequestRun,
    servers: V2Servers,
    triton_client: triton.TritonClient,
    expected: Callable[[str], TransportAnswer],
    count_run: Callable[..., None],
) -> None:
    """Every server answers a request, or refuses it with the same text, over every transport."""
    case = run.case
    count_run(case=case.name, transport=run.way.transport, server=run.server, client=run.way.client)
    answer = run.way.send(servers[run.server], case.request, triton_client)
    assert (answer.status, answer.error) == (run.way.translate_status(case.status), case.error)
    if case.error:
        check_answer_error(servers, answer)
        return
    assert tuple(answer.outputs) == (case.request.outputs or case.request.default_outputs)
    assert answer.id == case.request.id if case.request.id else len(answer.id) == 36
    assert answer.version == "0.0.1"
    _check_outputs(answer, case, expected)


def _check_outputs(
    answer: TransportAnswer, case: InferCase, expected: Callable[[str], TransportAnswer]
) -> None:
    rows = len(case.request.inputs[0].elements)
    for name, array in answer.outputs.items():
        assert answer.datatypes.get(name, _DATATYPES[name]) == _DATATYPES[name]
        assert array.dtype == (np.bool_ if name in _BOOLEANS else np.float32)
    if case.radiograph is None:
        return
    expected_answer = expected(case.radiograph)
    for name, array in answer.outputs.items():
        expected_array = expected_answer.outputs[name]
        expected_array = expected_array if name == "threshold" else np.repeat(expected_array, rows, axis=0)
        np.testing.assert_allclose(array, expected_array, atol=1e-6)
