"""Requests that schemathesis makes from the protocol's document and from ours get the answers they state."""

import copy
import json
import os
from collections.abc import Callable
from typing import Any, cast

import pytest
import schemathesis

from auth_proxy.routes.openapi import load_document
from tests.conformance.checks import check_hides_internals
from tests.conformance.open_inference import DOCUMENT as PROTOCOL
from tests.conformance.servers import V2Servers

OURS = json.loads(json.dumps(load_document()))
"""The document as a client reads it: no part of it is shared between two places."""

_EXAMPLES = int(os.environ.get("CONFORMANCE_EXAMPLES", "8"))
"""Requests that are generated for each operation. ``make proof-conformance`` sets a larger number."""
_LONG_MS = 20_000
"""A request with a shorter deadline may be answered that its deadline has expired."""
_ANY_REFUSAL = ["2xx", "400", "404", "408", "409", "413", "422", "504"]
_REFUSABLE = (
    *("classify", "feedback", "v2Infer", "v2InferVersion", "infer", "model-metadata", "model-ready"),
    *("v2Model", "v2ModelReady", "v2ModelVersion", "v2ModelVersionReady"),
    *("v2ModelReadyHead", "v2ModelVersionReadyHead", "findAnswers", "showAnswer", "drawOverlay"),
)
"""Operations whose valid requests may be refused, because what they name does not exist or is not valid."""
# bytes as they come, so that bodies of these types are tried too
schemathesis.serializer.alias(["application/dicom", "multipart/related"], "application/octet-stream")
Case = schemathesis.Case[Any]
Test = Callable[..., None]


def _parametrize_requests(document: dict[str, Any]) -> Callable[[Test], Test]:
    """Run a test on each request that schemathesis makes from a document."""
    checks = {"positive_data_acceptance": {"expected-statuses": _ANY_REFUSAL}}
    config = schemathesis.Config.from_dict(
        {
            "seed": 1,
            "generation": {
                "max-examples": _EXAMPLES,
                "deterministic": True,
                "database": "none",
                "allow-extra-parameters": False,
            },
            "checks": {
                "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", "504"]},
                "negative_data_rejection": {"expected-statuses": ["4xx", "504"]},
            },
            "phases": {"stateful": {"enabled": False}},
            "operations": [{"include-operation-id": each, "checks": checks} for each in _REFUSABLE],
        }
    )
    return cast(
        "Callable[[Test], Test]", schemathesis.openapi.from_dict(document, config=config).parametrize()
    )


def _restrict_to_transformer(document: dict[str, Any]) -> dict[str, Any]:
    """Restrict a document to V2 at the transformer, without tokens and with headers only for inference."""
    document = copy.deepcopy(document)
    document["paths"] = {path: item for path, item in document["paths"].items() if path.startswith("/v2")}
    for item in document["paths"].values():
        for verb in set(item) - {"parameters"}:
            item[verb] |= {"security": []} | ({"parameters": []} if verb in ("get", "head") else {})
            for answer in item[verb]["responses"].values():
                answer.pop("headers", None)
    for answer in document["components"]["responses"].values():
        answer["headers"].pop("x-request-id")
    return document


def _check_case(case: Case, servers: V2Servers, server: str, count_request: Callable[[str], None]) -> None:
    v2_server = servers[server]
    response = case.call(v2_server.service.url, headers=v2_server.metadata)
    count_request(f"{case.operation.label} {server}")
    if response.status_code in (408, 504):
        request_headers = dict[str, str](case.headers or {})
        assert float(request_headers.get("x-request-timeout-ms", "inf")) < _LONG_MS
    case.validate_response(response, headers=v2_server.metadata)
    if response.status_code >= 400 and case.method != "HEAD":
        check_hides_internals(servers, response.json()["error"])


@pytest.mark.parametrize("server", ["proxy", "transformer"])
@_parametrize_requests(PROTOCOL)
def test_answers_follow_the_protocols_document(
    case: Case, server: str, servers: V2Servers, count_request: Callable[[str], None]
) -> None:
    """Requests that the protocol's document allows or forbids get no 5xx, and only answers that it lists."""
    _check_case(case, servers, server, count_request)


@pytest.mark.parametrize("server", ["proxy"])
@_parametrize_requests(OURS)
def test_answers_follow_our_document(
    case: Case, server: str, servers: V2Servers, count_request: Callable[[str], None]
) -> None:
    """Our document lists every status, header and member, and the proxy's answers follow it."""
    _check_case(case, servers, server, count_request)


@pytest.mark.parametrize("server", ["transformer"])
@_parametrize_requests(_restrict_to_transformer(OURS))
def test_the_transformers_answers_follow_our_document(
    case: Case, server: str, servers: V2Servers, count_request: Callable[[str], None]
) -> None:
    """The transformer behind the proxy answers V2 as our document states."""
    _check_case(case, servers, server, count_request)
