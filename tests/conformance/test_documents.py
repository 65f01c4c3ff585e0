"""What schemathesis makes of the Open Inference Protocol's document, and of ours, is answered as they say."""

import copy
import json
import os
from collections.abc import Callable
from typing import Any, cast

import pytest
import schemathesis

from auth_proxy.routes.openapi import load_document
from tests.conformance.checks import check_says_nothing_of_the_inside
from tests.conformance.hops import Hops
from tests.conformance.open_inference import DOCUMENT as PROTOCOL

OURS = json.loads(json.dumps(load_document()))
"""The document as a client reads it: no part of it is shared between two places."""

_EXAMPLES = int(os.environ.get("PLEURA_CONFORMANCE_EXAMPLES", "8"))
"""Requests that are generated for each operation; ``make proof-conformance`` asks for more."""
_LONG_MS = 20_000
"""Whoever waits for less may be told that the time has run out."""
_ANY_REFUSAL = ["2xx", "400", "404", "408", "409", "413", "422", "504"]
_REFUSABLE = (
    *("classify", "feedback", "v2Infer", "v2InferVersion", "infer", "model-metadata", "model-ready"),
    *("v2Model", "v2ModelReady", "v2ModelVersion", "v2ModelVersionReady"),
)
"""No document can say which radiographs, models and versions there are: the good may be refused for them."""


Case = schemathesis.Case[Any]
Test = Callable[..., None]


def _requests_of(document: dict[str, Any]) -> Callable[[Test], Test]:
    """Run a test on each request that is made of a document."""
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


def _at_the_transformer(document: dict[str, Any]) -> dict[str, Any]:
    """What it shares with the proxy: no token, and the caller's headers only for inference."""
    document = copy.deepcopy(document)
    document["paths"] = {path: item for path, item in document["paths"].items() if path.startswith("/v2")}
    for item in document["paths"].values():
        for verb in set(item) - {"parameters"}:
            item[verb] |= {"security": []} | ({"parameters": []} if verb == "get" else {})
            for answer in item[verb]["responses"].values():
                answer.pop("headers", None)
    for answer in document["components"]["responses"].values():
        answer["headers"].pop("x-request-id")
    return document


def _check(case: Case, hops: Hops, hop: str, count_request: Callable[[str], None]) -> None:
    asked = hops[hop]
    response = case.call(asked.service.url, headers=asked.metadata)
    count_request(f"{case.operation.label} {hop}")
    if response.status_code in (408, 504):
        sent = dict[str, str](case.headers or {})
        assert float(sent.get("x-request-timeout-ms", "inf")) < _LONG_MS
    case.validate_response(response, headers=asked.metadata)
    if response.status_code >= 400 and case.method != "HEAD":
        check_says_nothing_of_the_inside(hops, response.json()["error"])


@pytest.mark.parametrize("hop", ["proxy", "transformer"])
@_requests_of(PROTOCOL)
def test_the_protocols_document_is_kept(
    case: Case, hop: str, hops: Hops, count_request: Callable[[str], None]
) -> None:
    """No request that the protocol's document allows or forbids gets a 5xx or an answer it does not know."""
    _check(case, hops, hop, count_request)


@pytest.mark.parametrize("hop", ["proxy"])
@_requests_of(OURS)
def test_our_document_is_kept(case: Case, hop: str, hops: Hops, count_request: Callable[[str], None]) -> None:
    """The same of our own, which knows every status, header and member."""
    _check(case, hops, hop, count_request)


@pytest.mark.parametrize("hop", ["transformer"])
@_requests_of(_at_the_transformer(OURS))
def test_the_transformer_keeps_our_document(
    case: Case, hop: str, hops: Hops, count_request: Callable[[str], None]
) -> None:
    """Behind the proxy stands the same V2."""
    _check(case, hops, hop, count_request)
