"""An OpenAPI document of the Open Inference Protocol's REST interface, rewritten for schemathesis.

Paths, verbs and members are those of the protocol's own OpenAPI document. Schemathesis cannot use some parts
of that document. This one follows the text of the protocol there: a path parameter has no ``$``, ``/v2`` has
no trailing slash, and any 4xx status is an error ("typically 400"). Optional members may also be null,
because MLServer's and other pydantic clients send null.

Source:
    kserve/open-inference-protocol (Apache-2.0), specification/protocol/open_inference_rest.yaml and
    inference_rest.md.
"""

from typing import Any

_TEXT = {"type": "string"}
_FREE = {"type": "object", "nullable": True}


def _build_object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "object", "properties": required | (optional or {}), "required": list(required)}


def _build_list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _build_reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


_TENSOR = {"name": _TEXT, "shape": _build_list({"type": "integer"}), "datatype": _TEXT}
_SCHEMAS = {
    "error": _build_object({"error": _TEXT}),
    "metadata_server_response": _build_object(
        {"name": _TEXT, "version": _TEXT, "extensions": _build_list(_TEXT)}
    ),
    "metadata_tensor": _build_object(_TENSOR),
    "metadata_model_response": _build_object(
        {"name": _TEXT, "platform": _TEXT},
        {
            "versions": _build_list(_TEXT),
            "inputs": _build_list(_build_reference("metadata_tensor")),
            "outputs": _build_list(_build_reference("metadata_tensor")),
        },
    ),
    "tensor_data": _build_list(
        {"anyOf": [_build_reference("tensor_data"), {"type": "number"}, _TEXT, {"type": "boolean"}]}
    ),
    "request_input": _build_object(
        _TENSOR | {"data": _build_reference("tensor_data")}, {"parameters": _FREE}
    ),
    "request_output": _build_object({"name": _TEXT}, {"parameters": _FREE}),
    "inference_request": _build_object(
        {"inputs": _build_list(_build_reference("request_input"))},
        {
            "id": {"type": "string", "nullable": True},
            "parameters": _FREE,
            "outputs": {**_build_list(_build_reference("request_output")), "nullable": True},
        },
    ),
    "response_output": _build_object(
        _TENSOR | {"data": _build_reference("tensor_data")}, {"parameters": {"type": "object"}}
    ),
    "inference_response": _build_object(
        {"model_name": _TEXT, "outputs": _build_list(_build_reference("response_output"))},
        {"model_version": _TEXT, "id": _TEXT, "parameters": {"type": "object"}},
    ),
}


def _build_answer(schema: dict[str, Any] | None) -> dict[str, Any]:
    return {"description": "", "content": {"application/json": {"schema": schema or {"type": "object"}}}}


def _build_operation(name: str, schema: str | None = None, **more: Any) -> dict[str, Any]:
    success = _build_answer(_build_reference(schema) if schema else None)
    return {
        "operationId": name,
        "responses": {"200": success, "4XX": _build_answer(_build_reference("error"))},
        **more,
    }


def _build_path_parameter(name: str, *values: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": _TEXT, "example": values[0]}


_MODEL = "/v2/models/{MODEL_NAME}/versions/{MODEL_VERSION}"
_PATH = {
    "parameters": [
        _build_path_parameter("MODEL_NAME", "chest-xray"),
        _build_path_parameter("MODEL_VERSION", "0.0.1"),
    ]
}
_BODY = {"required": True, "content": {"application/json": {"schema": _build_reference("inference_request")}}}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.0",
    "info": {"title": "Data Plane", "version": "2.0"},
    "paths": {
        "/v2/health/live": {"get": _build_operation("server-live")},
        "/v2/health/ready": {"get": _build_operation("server-ready")},
        "/v2": {"get": _build_operation("server-metadata", "metadata_server_response")},
        f"{_MODEL}/ready": {**_PATH, "get": _build_operation("model-ready")},
        _MODEL: {**_PATH, "get": _build_operation("model-metadata", "metadata_model_response")},
        f"{_MODEL}/infer": {
            **_PATH,
            "post": _build_operation("infer", "inference_response", requestBody=_BODY),
        },
    },
    "components": {"schemas": _SCHEMAS},
}
