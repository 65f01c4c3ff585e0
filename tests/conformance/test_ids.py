"""One id for a request: in its answer, in the header, in the journal."""

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from proof.lab.transformer import TransformerParts
from tests.conformance.hops import Hops
from tests.conformance.question import Question

_INFER = "/v2/models/chest-xray/infer"


def _rows(parts: TransformerParts, request_id: str) -> list[tuple[Any, ...]]:
    statement = "SELECT principal, image_id FROM answers WHERE request_id = %s"
    with closing(psycopg2.connect(parts.journal_dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(statement, (request_id,))
        return list(cursor.fetchall())


@pytest.mark.parametrize(
    ("in_body", "in_header", "expected"),
    [
        (None, None, None),
        ("", None, None),
        (None, "journal-h1", "journal-h1"),
        ("journal-b1", None, "journal-b1"),
        ("journal-b2", "journal-h2", "journal-b2"),
        ("é·日本 journal", None, "é·日本 journal"),
        ("j" * 256, None, "j" * 256),
        ("j'; DROP TABLE answers; --", None, "j'; DROP TABLE answers; --"),
    ],
)
@pytest.mark.parametrize("transport", ["rest", "grpc"])
@pytest.mark.parametrize("hop", ["proxy", "transformer"])
def test_an_answer_is_journaled_under_the_id_that_it_has(
    hop: str,
    transport: str,
    in_body: str | None,
    in_header: str | None,
    expected: str | None,
    hops: Hops,
    parts: TransformerParts,
    count_run: Callable[..., None],
) -> None:
    """The caller's id, the body's before the header's, else a new one, names answer and row.

    Through the proxy the header of the answer names the request as the proxy knows it.
    """
    name = f"journal-id-{(in_body or '')[:12]}-{in_header}"
    count_run(case=name, transport=transport, hop=hop, client="raw")
    headers = [("x-request-id", in_header)] if in_header else []
    ask = _over_rest if transport == "rest" else _over_grpc
    given, said = ask(hops, hop, in_body, headers)
    assert given == expected if expected else len(given) == 36
    principal = "tester" if hop == "proxy" else "anonymous"
    assert (principal, "r0.png") in _rows(parts, given)
    if hop == "proxy" and not in_body:
        assert said == given
    if hop == "proxy" and in_header:
        assert said == in_header


def _over_rest(
    hops: Hops, hop: str, in_body: str | None, headers: list[tuple[str, str]]
) -> tuple[str, str | None]:
    document = json.loads(Question().as_json()[0])
    if in_body is not None:
        document["id"] = in_body
    answer = hops[hop].ask("POST", _INFER, json.dumps(document).encode(), headers)
    assert answer.status == 200, answer.body
    return str(answer.document["id"]), answer.headers.get("x-request-id")


def _over_grpc(
    hops: Hops, hop: str, in_body: str | None, headers: list[tuple[str, str]]
) -> tuple[str, str | None]:
    message = Question(id=in_body or "").as_message().SerializeToString()
    answer = hops[hop].call("ModelInfer", message, headers)
    assert answer.details == ""
    return str(pb.ModelInferResponse.FromString(answer.message).id), answer.trailing.get("x-request-id")
