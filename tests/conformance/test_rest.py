"""REST requests byte by byte, through the proxy and directly."""

from collections.abc import Callable

import pytest

from tests.conformance import rest_body_cases, rest_output_cases, rest_path_cases, rest_tensor_cases
from tests.conformance.checks import check_http_error
from tests.conformance.rest_request import NO_PATH, RestRequest
from tests.conformance.servers import V2Servers

CASES = (*rest_output_cases.CASES, *rest_tensor_cases.CASES, *rest_body_cases.CASES, *rest_path_cases.CASES)


@pytest.mark.parametrize(
    ("case", "server"),
    [pytest.param(case, server, id=f"{case.name}-{server}") for case in CASES for server in case.servers],
)
def test_a_rest_request_is_answered_or_refused(
    case: RestRequest, server: str, servers: V2Servers, count_run: Callable[..., None]
) -> None:
    """Every server answers a request, or refuses it with the same status and text."""
    count_run(case=case.name, transport="rest", server=server, client="raw")
    answer = servers[server].send(case.verb, case.path, case.body, case.headers)
    if case.verb == "HEAD":
        assert (answer.status, answer.body) == (case.status, b"")
        return
    error = "" if answer.status < 400 else answer.document.get("error", answer.body)
    if case.error == NO_PATH and server == "proxy":
        # the proxy alone has more routes, and names the one that the caller may mean
        error, _, hint = error.partition(": ")
        assert hint
    assert (answer.status, error) == (case.status, case.error)
    assert case.check(answer), (answer.headers, answer.body[:1000])
    if case.error:
        check_http_error(servers, answer, server == "proxy")
