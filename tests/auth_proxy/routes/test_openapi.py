"""The OpenAPI document says what the code does."""

import httpx

from auth_proxy.allow_list import ROUTES, find_route
from auth_proxy.routes.openapi import load_document
from pleura.contract import MAX_RADIOGRAPHS, MODEL_NAME, TRANSFORMER_INPUTS, TRANSFORMER_OUTPUTS
from pleura.findings import FINDINGS
from proof.lab.proxy import Proxy

DOCUMENT = load_document()
SCHEMAS = DOCUMENT["components"]["schemas"]


def test_the_proxy_answers_the_document(proxy: Proxy) -> None:
    """Everybody may read it."""
    assert httpx.get(f"{proxy.url}/openapi.json").json() == DOCUMENT


def test_the_document_has_each_route_with_its_verb_and_scope() -> None:
    """The paths of the document are the routes of the allow-list, no more and no fewer."""
    described = set()
    for path, operations in DOCUMENT["paths"].items():
        raw_path = path.format(model="m", version="1", request_id="r").encode()
        for verb, operation in operations.items():
            if verb != "parameters":
                scope = next((each["bearer"][0] for each in operation["security"]), None)
                described.add((find_route(verb.upper(), raw_path, b"").name, verb.upper(), scope))
    assert described == {(route.name, verb, route.scope) for route in ROUTES for verb in route.verbs}


def test_the_document_has_the_fourteen_findings() -> None:
    """Findings of answers, of the model's description and of verdicts are those of the code, in order."""
    described = SCHEMAS["ModelInfo"]["properties"]["findings"]["items"]["properties"]["name"]["enum"]
    assert SCHEMAS["Finding"]["properties"]["name"]["enum"] == described == list(FINDINGS)
    for name in ("Feedback", "StoredFeedback"):
        assert list(SCHEMAS[name]["properties"]["verdicts"]["properties"]) == list(FINDINGS)


def test_the_document_has_the_contract_of_the_model() -> None:
    """Model name, inputs, outputs and the number of radiographs are those of the code."""
    (parameter,) = DOCUMENT["paths"]["/v2/models/{model}"]["parameters"]
    assert parameter["example"] == MODEL_NAME
    infer_input = SCHEMAS["InferInput"]["properties"]
    assert infer_input["name"]["enum"] == [each.name for each in TRANSFORMER_INPUTS]
    assert infer_input["data"]["maxItems"] == infer_input["shape"]["items"]["maximum"] == MAX_RADIOGRAPHS
    outputs = {each.name for each in TRANSFORMER_OUTPUTS}
    assert set(SCHEMAS["InferOutput"]["properties"]["name"]["enum"]) == outputs


def test_each_schema_that_is_named_is_there() -> None:
    """No reference leads nowhere."""

    def follow(value: object) -> None:
        if isinstance(value, list):
            for item in value:
                follow(item)
        elif isinstance(value, dict):
            _, *path = str(value.get("$ref", "#")).split("/")
            target = DOCUMENT
            for step in path:
                target = target[step]
            for item in value.values():
                follow(item)

    follow(DOCUMENT)
