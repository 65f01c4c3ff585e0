"""Raw requests that two programs might read differently."""

import pytest

from proof.attacks import http_cases, http_syntax, upload_cases
from proof.attacks.attacked_proxy import AttackedProxy
from proof.attacks.http_attack import Case, find_smuggling, parse_answers, run_case
from proof.lab.recorder import RecordedRequest
from proof.lab.service_key import KEY

CASES = {
    f"{table}: {name}": case
    for table, cases in {
        "framing": http_cases.FRAMING,
        "chunks": http_cases.CHUNKS,
        **http_syntax.TABLES,
        **upload_cases.TABLES,
    }.items()
    for name, case in cases.items()
}


@pytest.mark.parametrize("name", CASES)
def test_each_request_is_read_once_and_answered_as_itself(attacked: AttackedProxy, name: str) -> None:
    """Between two good requests only allowed requests are forwarded, and each request gets its own answer."""
    assert not run_case(attacked, CASES[name])


def test_the_tables_hold_at_least_a_hundred_cases() -> None:
    """No case stands in the tables twice."""
    assert len({case.raw for case in CASES.values()}) == len(CASES) >= 100


def test_a_smuggled_request_is_found(attacked: AttackedProxy) -> None:
    """A request that is forwarded by mistake is a bypass, and its answer belongs to no request."""
    case = Case(http_cases.SMUGGLED, ((400, None),))
    result = run_case(attacked, case)
    assert result.bypasses
    assert result.desynchronised


def test_bytes_that_are_not_an_answer_are_found() -> None:
    """Bytes behind the last answer, and an answer that is cut, are errors."""
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-request-id: a\r\n\r\n{}"
    assert [each.request_id for each in parse_answers(answer * 2)] == ["a", "a"]
    for bad in (answer + b"x", answer[:-1], answer + answer[:20], b"(the connection stays open)"):
        with pytest.raises(ValueError, match=r".+"):
            [*parse_answers(bad)]


HEAD = (
    b"POST /v2/models/chest-xray/infer HTTP/1.1\r\nhost: a\r\nx-request-id: s-attack\r\n"
    b"x-pleura-principal: somebody\r\nx-pleura-service-key: "
    + KEY.encode()
    + b"\r\ncontent-length: 2\r\n\r\n"
)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b": somebody\r\n", b": admin\r\n"),
        (KEY.encode(), b"forged"),
        (b"\r\nhost", b"\r\nx-user: a\r\nhost"),
        (b"/infer", b"/load"),
        (b"\r\nhost", b"\nhost"),
        (b"s-attack", b"another"),
        (b"content-length: 2", b"content-length: 2\r\ncontent-length: 2"),
    ],
)
def test_a_changed_request_to_the_transformer_is_found(good: bytes, bad: bytes) -> None:
    """Another principal, service key, header, path, line end or request id at the transformer is a bypass."""
    assert not find_smuggling(RecordedRequest(HEAD, b"{}", is_whole=True), "s-")
    assert find_smuggling(RecordedRequest(HEAD.replace(good, bad), b"{}", is_whole=True), "s-")
