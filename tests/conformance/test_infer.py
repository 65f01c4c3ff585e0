"""One table of questions, each asked over every transport, through the proxy and directly, by two clients."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from tests.conformance.checks import check_answer_error
from tests.conformance.hops import Hops
from tests.conformance.infer_cases import CASES, InferCase
from tests.conformance.predictor_cases import CASES as PREDICTOR_CASES
from tests.conformance.question import Question, Tensor
from tests.conformance.ways import WAYS, Way, WayAnswer
from tests.support import triton

_OUTPUTS = ("probability", "present", "typicality", "threshold", "activation_map")
_DATATYPES = dict.fromkeys(_OUTPUTS, "FP32") | {"present": "BOOL"}


@dataclass(frozen=True)
class Run:
    """A case, one of its ways, and one of its hops."""

    case: InferCase
    way: Way
    hop: str

    def __str__(self) -> str:
        return f"{self.case.name}-{self.way.transport}-{self.hop}-{self.way.client}"


RUNS = [
    Run(case, way, hop)
    for case in (*CASES, *PREDICTOR_CASES)
    for way in WAYS
    for hop in case.hops
    if way.transport not in case.not_over
    and not (way.client == "triton" and case.only_raw)
    and all(way.speaks(each) for each in case.question.inputs)
]


@pytest.fixture(scope="module")
def expected(hops: Hops, triton_client: triton.TritonClient) -> Callable[[str], WayAnswer]:
    """What the transformer answers on a stored radiograph, asked in the plainest way."""

    def of(name: str) -> WayAnswer:
        return WAYS[0].ask(
            hops["transformer"], Question((Tensor(elements=(name,)),), _OUTPUTS), triton_client
        )

    return of


@pytest.mark.parametrize("run", RUNS, ids=str)
def test_a_question_has_its_answer(
    run: Run,
    hops: Hops,
    triton_client: triton.TritonClient,
    expected: Callable[[str], WayAnswer],
    count_run: Callable[..., None],
) -> None:
    """A question is answered, or refused in the same words, however and wherever it is asked."""
    case = run.case
    count_run(case=case.name, transport=run.way.transport, hop=run.hop, client=run.way.client)
    answer = run.way.ask(hops[run.hop], case.question, triton_client)
    assert (answer.status, answer.error) == (run.way.status(case.status), case.error)
    if case.error:
        check_answer_error(hops, answer)
        return
    assert tuple(answer.outputs) == (case.question.outputs or case.question.default_outputs)
    assert answer.id == case.question.id if case.question.id else len(answer.id) == 36
    assert answer.version == "0.0.1"
    _check_outputs(answer, case, expected)


def _check_outputs(answer: WayAnswer, case: InferCase, expected: Callable[[str], WayAnswer]) -> None:
    rows = len(case.question.inputs[0].elements)
    for name, array in answer.outputs.items():
        assert answer.datatypes.get(name, _DATATYPES[name]) == _DATATYPES[name]
        assert array.dtype == (np.bool_ if name == "present" else np.float32)
    if case.radiograph is None:
        return
    right = expected(case.radiograph)
    for name, array in answer.outputs.items():
        wanted = right.outputs[name]
        wanted = wanted if name == "threshold" else np.repeat(wanted, rows, axis=0)
        np.testing.assert_allclose(array, wanted, atol=1e-6)
