"""REST to the byte, through the proxy and directly."""

from collections.abc import Callable

import pytest

from tests.conformance import rest_body_cases, rest_path_cases, rest_tensor_cases
from tests.conformance.checks import check_http_error
from tests.conformance.hops import Hops
from tests.conformance.rest_request import RestRequest

CASES = (*rest_tensor_cases.CASES, *rest_body_cases.CASES, *rest_path_cases.CASES)


@pytest.mark.parametrize(
    ("case", "hop"),
    [pytest.param(case, hop, id=f"{case.name}-{hop}") for case in CASES for hop in case.hops],
)
def test_a_request_has_its_answer(
    case: RestRequest, hop: str, hops: Hops, count_run: Callable[..., None]
) -> None:
    """A request is answered, or refused with its status, in the same words wherever it is asked."""
    count_run(case=case.name, transport="rest", hop=hop, client="raw")
    answer = hops[hop].ask(case.verb, case.path, case.body, case.headers)
    if case.verb == "HEAD":
        assert (answer.status, answer.body) == (case.status, b"")
        return
    said = "" if answer.status < 400 else answer.document.get("error", answer.body)
    assert (answer.status, said) == (case.status, case.error)
    assert case.check(answer), (answer.headers, answer.body[:1000])
    if case.error:
        check_http_error(hops, answer, hop == "proxy")
