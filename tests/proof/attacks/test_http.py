"""Requests on raw sockets that two programs might read in two ways."""

import pytest

from proof.attacks import http_cases, http_syntax
from proof.attacks.http_attack import Case, answers_in, converse, smuggled
from proof.attacks.stage import AttackStage
from proof.lab.recorder import RecordedRequest

CASES = {
    f"{table}: {name}": case
    for table, cases in {
        "framing": http_cases.FRAMING,
        "chunks": http_cases.CHUNKS,
        **http_syntax.TABLES,
    }.items()
    for name, case in cases.items()
}


@pytest.mark.parametrize("name", CASES)
def test_each_request_is_read_once_and_answered_as_itself(attacked: AttackStage, name: str) -> None:
    """Between two good requests: only what is allowed is forwarded, and each answer is its request's."""
    assert not converse(attacked, CASES[name])


def test_the_table_is_wide() -> None:
    """At least a hundred ways, each another one."""
    assert len({case.raw for case in CASES.values()}) == len(CASES) >= 100


def test_a_smuggled_request_would_be_seen(attacked: AttackStage) -> None:
    """What is forwarded beside what should be is a bypass, and its answer is nobody's."""
    case = Case(http_cases.SMUGGLED, ((400, None),))
    judgement = converse(attacked, case)
    assert judgement.bypasses
    assert judgement.desynchronised


def test_answers_that_are_none_would_be_seen() -> None:
    """What a row of answers is followed by is not passed over."""
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-request-id: a\r\n\r\n{}"
    assert [each.request_id for each in answers_in(answer * 2)] == ["a", "a"]
    for bad in (answer + b"x", answer[:-1], answer + answer[:20], b"(the connection stays open)"):
        with pytest.raises(ValueError, match=r".+"):
            [*answers_in(bad)]


HEAD = (
    b"POST /v2/models/chest-xray/infer HTTP/1.1\r\nhost: a\r\nx-request-id: s-attack\r\n"
    b"x-pleura-principal: somebody\r\ncontent-length: 2\r\n\r\n"
)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b": somebody\r\n", b": admin\r\n"),
        (b"\r\nhost", b"\r\nx-user: a\r\nhost"),
        (b"/infer", b"/load"),
        (b"\r\nhost", b"\nhost"),
        (b"s-attack", b"another"),
        (b"content-length: 2", b"content-length: 2\r\ncontent-length: 2"),
    ],
)
def test_a_spoilt_hop_would_be_seen(good: bytes, bad: bytes) -> None:
    """Another principal, header, path, line end or id at the transformer is not passed over."""
    assert not smuggled(RecordedRequest(HEAD, b"{}", is_whole=True), "s-")
    assert smuggled(RecordedRequest(HEAD.replace(good, bad), b"{}", is_whole=True), "s-")
