"""The REST document of the Open Inference Protocol, written anew from it, for schemathesis.

Paths, verbs, members and which of them are required are those of the protocol's own OpenAPI document. Where
that document cannot be asked as it stands, this one says what the protocol's text says: no ``$`` before a
parameter of a path, ``/v2`` without the slash, an error for any status of 4xx ("typically 400"). Members that
are optional may also be null: MLServer's and other pydantic clients write them so.

Source:
    kserve/open-inference-protocol (Apache-2.0), specification/protocol/open_inference_rest.yaml and
    inference_rest.md.
"""

from typing import Any

_TEXT = {"type": "string"}
_FREE = {"type": "object", "nullable": True}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "object", "properties": required | (optional or {}), "required": list(required)}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _named(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


_TENSOR = {"name": _TEXT, "shape": _list({"type": "integer"}), "datatype": _TEXT}
_SCHEMAS = {
    "error": _object({"error": _TEXT}),
    "metadata_server_response": _object({"name": _TEXT, "version": _TEXT, "extensions": _list(_TEXT)}),
    "metadata_tensor": _object(_TENSOR),
    "metadata_model_response": _object(
        {"name": _TEXT, "platform": _TEXT},
        {
            "versions": _list(_TEXT),
            "inputs": _list(_named("metadata_tensor")),
            "outputs": _list(_named("metadata_tensor")),
        },
    ),
    "tensor_data": _list({"anyOf": [_named("tensor_data"), {"type": "number"}, _TEXT, {"type": "boolean"}]}),
    "request_input": _object(_TENSOR | {"data": _named("tensor_data")}, {"parameters": _FREE}),
    "request_output": _object({"name": _TEXT}, {"parameters": _FREE}),
    "inference_request": _object(
        {"inputs": _list(_named("request_input"))},
        {
            "id": {"type": "string", "nullable": True},
            "parameters": _FREE,
            "outputs": {**_list(_named("request_output")), "nullable": True},
        },
    ),
    "response_output": _object(_TENSOR | {"data": _named("tensor_data")}, {"parameters": {"type": "object"}}),
    "inference_response": _object(
        {"model_name": _TEXT, "outputs": _list(_named("response_output"))},
        {"model_version": _TEXT, "id": _TEXT, "parameters": {"type": "object"}},
    ),
}


def _answer(schema: dict[str, Any] | None) -> dict[str, Any]:
    return {"description": "", "content": {"application/json": {"schema": schema or {"type": "object"}}}}


def _operation(name: str, schema: str | None = None, **more: Any) -> dict[str, Any]:
    right = _answer(_named(schema) if schema else None)
    return {"operationId": name, "responses": {"200": right, "4XX": _answer(_named("error"))}, **more}


def _in_path(name: str, *values: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": _TEXT, "example": values[0]}


_MODEL = "/v2/models/{MODEL_NAME}/versions/{MODEL_VERSION}"
_PATH = {"parameters": [_in_path("MODEL_NAME", "chest-xray"), _in_path("MODEL_VERSION", "0.0.1")]}
_BODY = {"required": True, "content": {"application/json": {"schema": _named("inference_request")}}}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.0",
    "info": {"title": "Data Plane", "version": "2.0"},
    "paths": {
        "/v2/health/live": {"get": _operation("server-live")},
        "/v2/health/ready": {"get": _operation("server-ready")},
        "/v2": {"get": _operation("server-metadata", "metadata_server_response")},
        f"{_MODEL}/ready": {**_PATH, "get": _operation("model-ready")},
        _MODEL: {**_PATH, "get": _operation("model-metadata", "metadata_model_response")},
        f"{_MODEL}/infer": {
            **_PATH,
            "post": _operation("infer", "inference_response", requestBody=_BODY),
        },
    },
    "components": {"schemas": _SCHEMAS},
}
