"""The OpenAPI document of the proxy's own routes; V2 has its own, the Open Inference Protocol's."""

from typing import Any, Final

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from auth_proxy.tokens import CLASSIFY_SCOPE, READ_SCOPE
from pleura.findings import FINDINGS

_FRACTION: Final = {"type": "number", "minimum": 0, "maximum": 1}
_TEXT: Final = {"type": "string"}
_NAME: Final = {"type": "string", "enum": list(FINDINGS)}


def _object(properties: dict[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_INTERVAL: Final = _object({"value": _FRACTION, "low": _FRACTION, "high": _FRACTION})
_OPERATING_POINT: Final = _object(
    {"threshold": _FRACTION, "sensitivity": _FRACTION, "specificity": _FRACTION}
)
_SCHEMAS: Final[dict[str, Any]] = {
    "Error": _object({"error": _TEXT}),
    "ImageId": _object({"image_id": {"type": "string", "minLength": 1, "maxLength": 1024}})
    | {"additionalProperties": False},
    "File": _object({"file": {"type": "string", "contentMediaType": "application/octet-stream"}}),
    "Model": _object({"name": _TEXT, "version": _TEXT, "digest": _TEXT}),
    "Finding": _object(
        {
            "name": _NAME,
            "probability": _FRACTION,
            "present": {"type": "boolean", "description": "probability >= threshold"},
            "threshold": _FRACTION,
            "measured": _or_null({"type": "boolean"})
            | {"description": "whether the test split could say how well it is read; null: not known"},
        }
    ),
    "Answer": _object(
        {
            "request_id": _TEXT,
            "model": {"$ref": "#/components/schemas/Model"},
            "preprocessing_version": _TEXT,
            "typicality": _FRACTION
            | {"description": "share of known chest radiographs that are less typical than this one"},
            "journal": {"type": "string", "enum": ["written", "spooled"]},
            "cached": {"type": "boolean"},
            "findings": _list({"$ref": "#/components/schemas/Finding"}),
        }
    ),
    "ModelInfo": _object(
        {
            "name": _TEXT,
            "version": _TEXT,
            "digest": _TEXT,
            "findings": _list(
                _object(
                    {
                        "name": _NAME,
                        "measured": {"type": "boolean"},
                        "operating_point": _OPERATING_POINT,
                        "auroc": _or_null(_INTERVAL),
                        "sensitivity": _or_null(_INTERVAL),
                        "specificity": _or_null(_INTERVAL),
                        "test_positives": {"type": "integer"},
                        "test_negatives": {"type": "integer"},
                    }
                )
            ),
            "preprocessing_version": _TEXT,
            "calibration": _TEXT,
            "operating_points_chosen": _TEXT,
            "intended_use": _TEXT,
            "limitations": _list(_TEXT),
            "training_data": _list(_TEXT),
            "metrics": {"type": "object", "additionalProperties": {"type": "number"}},
        }
    ),
    "Ready": _object({name: {"type": "boolean"} for name in ("ready", "keys", "transformer")}),
    "Live": _object({"live": {"type": "boolean"}}),
}
_ERRORS: Final = {
    "400": "The request is malformed, or the file is no readable radiograph.",
    "401": "The bearer token is missing or not valid.",
    "403": "The token lacks the scope.",
    "404": "The store holds no radiograph of that id.",
    "408": "The body did not arrive in time.",
    "409": "The request id was used before, for another radiograph.",
    "413": "The body is too large.",
    "422": "The file is no radiograph that the model may answer on.",
    "429": "Too many requests of this principal; see Retry-After.",
    "500": "An error of ours.",
    "502": "The model gave no valid answer.",
    "503": "A part is down, or too much is in flight; see Retry-After.",
    "504": "The time for this request has run out.",
}
_READING_ERRORS: Final = ("400", "401", "403", "408", "429", "500", "502", "503", "504")


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _responses(schema: str, errors: tuple[str, ...]) -> dict[str, Any]:
    answered = {"200": {"description": "The answer.", "content": _json(schema)}}
    return answered | {code: {"description": _ERRORS[code], "content": _json("Error")} for code in errors}


def _operation(name: str, summary: str, responses: dict[str, Any], scope: str | None) -> dict[str, Any]:
    security = [{"bearer": [scope]}] if scope else []
    return {"operationId": name, "summary": summary, "responses": responses, "security": security}


_CLASSIFY: Final = _operation(
    "classify", "The findings of one radiograph.", _responses("Answer", tuple(_ERRORS)), CLASSIFY_SCOPE
) | {
    "requestBody": {
        "required": True,
        "content": _json("ImageId")
        | {"multipart/form-data": {"schema": {"$ref": "#/components/schemas/File"}}},
    },
    "parameters": [
        {
            "name": "x-request-id",
            "in": "header",
            "description": "The same id twice writes one row of the journal.",
            "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"},
        },
        {
            "name": "x-request-timeout-ms",
            "in": "header",
            "description": "How long the caller waits.",
            "schema": {"type": "integer", "minimum": 1},
        },
    ],
}
_READY_RESPONSES: Final = {
    "200": {"description": "It would answer.", "content": _json("Ready")},
    "503": {"description": "It would not.", "content": _json("Ready")},
}
DOCUMENT: Final[dict[str, Any]] = {
    "openapi": "3.1.0",
    "info": {
        "title": "Pleura",
        "version": "1",
        "description": "Findings of chest radiographs. V2 (Open Inference Protocol) is served under /v2.",
    },
    "paths": {
        "/classify": {"post": _CLASSIFY},
        "/model-info": {
            "get": _operation(
                "modelInfo",
                "The model that answers now.",
                _responses("ModelInfo", _READING_ERRORS),
                READ_SCOPE,
            )
        },
        "/healthz": {"get": _operation("live", "The process answers.", _responses("Live", ()), None)},
        "/readyz": {"get": _operation("ready", "Keys and transformer are there.", _READY_RESPONSES, None)},
    },
    "components": {
        "schemas": _SCHEMAS,
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
    },
}


async def openapi(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI endpoint: the document."""
    await JSONResponse(DOCUMENT)(scope, receive, send)
