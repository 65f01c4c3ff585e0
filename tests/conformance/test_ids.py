"""A request has one id in its answer, in the header and in the journal."""

import json
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from proof.lab.transformer import TransformerParts
from tests.conformance.servers import V2Servers
from tests.conformance.v2_request import V2Request

_INFER = "/v2/models/chest-xray/infer"


def _read_rows(parts: TransformerParts, request_id: str) -> list[tuple[Any, ...]]:
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
@pytest.mark.parametrize("server", ["proxy", "transformer"])
def test_an_answer_and_its_journal_row_have_one_id(
    server: str,
    transport: str,
    in_body: str | None,
    in_header: str | None,
    expected: str | None,
    servers: V2Servers,
    parts: TransformerParts,
    count_run: Callable[..., None],
) -> None:
    """The answer and its row have the id of the body, else of the header, else a new one.

    The proxy's answer header has the id by which the proxy knows the request.
    """
    name = f"journal-id-{(in_body or '')[:12]}-{in_header}"
    count_run(case=name, transport=transport, server=server, client="raw")
    headers = [("x-request-id", in_header)] if in_header else []
    send = _send_over_rest if transport == "rest" else _send_over_grpc
    request_id, header_id = send(servers, server, in_body, headers)
    assert request_id == expected if expected else len(request_id) == 36
    principal = "tester" if server == "proxy" else "anonymous"
    assert (principal, "r0.png") in _read_rows(parts, request_id)
    if server == "proxy" and not in_body:
        assert header_id == request_id
    if server == "proxy" and in_header:
        assert header_id == in_header


def _send_over_rest(
    servers: V2Servers, server: str, in_body: str | None, headers: list[tuple[str, str]]
) -> tuple[str, str | None]:
    document = json.loads(V2Request().encode_json()[0])
    if in_body is not None:
        document["id"] = in_body
    answer = servers[server].send("POST", _INFER, json.dumps(document).encode(), headers)
    assert answer.status == 200, answer.body
    return str(answer.document["id"]), answer.headers.get("x-request-id")


def _send_over_grpc(
    servers: V2Servers, server: str, in_body: str | None, headers: list[tuple[str, str]]
) -> tuple[str, str | None]:
    message = V2Request(id=in_body or "").to_message().SerializeToString()
    answer = servers[server].call("ModelInfer", message, headers)
    assert answer.details == ""
    return str(pb.ModelInferResponse.FromString(answer.message).id), answer.trailing.get("x-request-id")
