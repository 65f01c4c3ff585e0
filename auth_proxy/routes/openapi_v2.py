"""V2 as it is served here, for the OpenAPI document: one model, its two inputs and five outputs.

Source:
    Open Inference Protocol, inference_rest.md; Triton, "Binary Tensor Data Extension".
"""

from typing import Any, Final

from auth_proxy.allow_list import CLASSIFY_SCOPE, READ_SCOPE
from auth_proxy.routes.openapi_parts import (
    ASKING_ERRORS,
    FLAG,
    READING_ERRORS,
    TEXT,
    json_of,
    list_of,
    named,
    object_of,
    operation,
    or_null,
    response,
    responses,
)

_OUTPUT: Final = {
    "type": "string",
    "enum": ["probability", "present", "typicality", "threshold", "activation_map"],
}
_SIZE: Final = {"type": "integer", "minimum": 0}
_OPEN: Final[dict[str, Any]] = {"type": "object"}
_BINARY_SIZE: Final = object_of({"binary_data_size": _SIZE}, ("binary_data_size",))
SCHEMAS: Final[dict[str, Any]] = {
    "Server": object_of({"name": TEXT, "version": TEXT, "extensions": list_of(TEXT)}),
    "V2Ready": object_of({"ready": FLAG}),
    "ModelReady": object_of({"name": TEXT, "ready": FLAG}),
    "Models": object_of({"models": list_of(TEXT)}),
    "TensorMetadata": object_of(
        {"name": TEXT, "datatype": TEXT, "shape": list_of({"type": "integer", "minimum": -1})}
    ),
    "ModelMetadata": object_of(
        {
            "name": TEXT,
            "versions": list_of(TEXT),
            "platform": TEXT,
            "inputs": list_of(named("TensorMetadata")),
            "outputs": list_of(named("TensorMetadata")),
        }
    ),
    "InferInput": object_of(
        {
            "name": {"type": "string", "enum": ["image_id", "image"]},
            "datatype": {"type": "string", "enum": ["BYTES"]},
            "shape": list_of({"type": "integer", "minimum": 1, "maximum": 32}, minItems=1, maxItems=1),
            "data": list_of(TEXT, minItems=1, maxItems=32),
            "parameters": or_null(_OPEN),
        },
        ("parameters",),
    )
    | {
        "description": "In a binary body parameters.binary_data_size stands in the place of data. "
        "image_id holds keys of objects, image the files themselves."
    },
    "RequestedOutput": object_of(
        {"name": _OUTPUT, "parameters": or_null(object_of({"binary_data": or_null(FLAG)}, ("binary_data",)))},
        ("parameters",),
    ),
    "InferRequest": object_of(
        {
            "id": or_null({"type": "string", "maxLength": 256}),
            "inputs": list_of(named("InferInput"), minItems=1, maxItems=1),
            "outputs": or_null(list_of(named("RequestedOutput"))),
            "parameters": or_null(object_of({"binary_data_output": or_null(FLAG)}, ("binary_data_output",))),
        },
        ("id", "outputs", "parameters"),
    ),
    "InferOutput": object_of(
        {
            "name": _OUTPUT,
            "datatype": {"type": "string", "enum": ["FP32", "BOOL"]},
            "shape": list_of(_SIZE),
            "data": list_of({"type": ["number", "boolean"]}),
            "parameters": _BINARY_SIZE,
        },
        ("data", "parameters"),
    ),
    "InferResponse": object_of(
        {
            "id": TEXT,
            "model_name": TEXT,
            "model_version": TEXT,
            "outputs": list_of(named("InferOutput")),
            "parameters": object_of(
                {
                    "model_digest": TEXT,
                    "preprocessing_version": TEXT,
                    "cached": FLAG,
                    "journal": {"type": "string", "enum": ["written", "spooled"]},
                }
            ),
        }
    ),
}
_SEGMENT: Final = {"type": "string", "pattern": r"^[A-Za-z0-9](?:\.?[A-Za-z0-9_-]){0,63}$"}
_BINARY: Final = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


def _in_path(name: str, example: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": _SEGMENT, "example": example}


_MODEL: Final = [_in_path("model", "chest-xray")]
_VERSION: Final = [*_MODEL, _in_path("version", "1.0.0")]


def _get(name: str, summary: str, schema: str, *errors: str) -> dict[str, Any]:
    answers = responses(schema, tuple(sorted({*READING_ERRORS, *errors})))
    return {"get": operation(name, summary, answers, READ_SCOPE)}


def _readiness(name: str, summary: str, schema: str, *errors: str) -> dict[str, Any]:
    """Not ready is an answer too, with the status that probes look at."""
    item = _get(name, summary, schema, *errors)
    either = {"anyOf": [named(schema), named("Error")]}
    content = {"application/json": {"schema": either}}
    item["get"]["responses"]["503"] = response("It is not ready, or cannot be asked.", content)
    return item


def _infer(name: str) -> dict[str, Any]:
    answers = responses("InferResponse", ASKING_ERRORS)
    answers["200"] = response("The outputs.", json_of("InferResponse") | _BINARY)
    body = {"required": True, "content": json_of("InferRequest") | _BINARY}
    item = operation(name, "The findings of 1 to 32 radiographs.", answers, CLASSIFY_SCOPE)
    return {"post": item | {"requestBody": body}}


PATHS: Final[dict[str, Any]] = {
    "/v2": _get("v2Server", "The server.", "Server"),
    "/v2/health/live": _get("v2Live", "The server answers.", "Live"),
    "/v2/health/ready": _readiness("v2Ready", "The model answers.", "V2Ready"),
    "/v2/models": _get("v2Models", "The models there are.", "Models"),
    "/v2/models/{model}": {"parameters": _MODEL}
    | _get("v2Model", "Inputs and outputs of the model.", "ModelMetadata", "404"),
    "/v2/models/{model}/ready": {"parameters": _MODEL}
    | _readiness("v2ModelReady", "The model answers.", "ModelReady", "404"),
    "/v2/models/{model}/infer": {"parameters": _MODEL} | _infer("v2Infer"),
    "/v2/models/{model}/versions/{version}": {"parameters": _VERSION}
    | _get("v2ModelVersion", "Inputs and outputs of the version that answers.", "ModelMetadata", "404"),
    "/v2/models/{model}/versions/{version}/ready": {"parameters": _VERSION}
    | _readiness("v2ModelVersionReady", "That version answers.", "ModelReady", "404"),
    "/v2/models/{model}/versions/{version}/infer": {"parameters": _VERSION} | _infer("v2InferVersion"),
}
