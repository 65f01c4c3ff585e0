"""The OpenAPI document of what the proxy answers: its own routes, and V2."""

from typing import Any, Final

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from auth_proxy.allow_list import CLASSIFY_SCOPE, FEEDBACK_SCOPE, READ_SCOPE
from auth_proxy.routes import openapi_v2
from auth_proxy.routes.openapi_parts import (
    ASKING_ERRORS,
    FLAG,
    OPEN_ERRORS,
    READING_ERRORS,
    TEXT,
    WRITING_ERRORS,
    json_of,
    list_of,
    named,
    object_of,
    operation,
    or_null,
    response,
    responses,
    shared_components,
)
from pleura.findings import FINDINGS

_FRACTION: Final = {"type": "number", "minimum": 0, "maximum": 1}
_NAME: Final = {"type": "string", "enum": list(FINDINGS)}
_INTERVAL: Final = object_of({"value": _FRACTION, "low": _FRACTION, "high": _FRACTION})
_OPERATING_POINT: Final = object_of(
    {"threshold": _FRACTION, "sensitivity": _FRACTION, "specificity": _FRACTION}
)
_ID: Final = {"type": "string", "minLength": 1, "maxLength": 256}
_SAID: Final = {
    "id": _ID | {"description": "the request id of the answer"},
    "answered_to": _ID | {"description": "the principal that was answered; the caller's own if left out"},
    "position": {"type": "integer", "minimum": 0, "maximum": 31},
    "verdicts": object_of({name: or_null(FLAG) for name in FINDINGS}, FINDINGS)
    | {"minProperties": 1, "additionalProperties": False, "description": "null: cannot be told"},
    "had_seen_answer": FLAG
    | {"description": "whether the reader knew the answer; only blind verdicts count for accuracy"},
}
_SCHEMAS: Final[dict[str, Any]] = {
    "Error": object_of({"error": TEXT}),
    "ImageId": object_of({"image_id": {"type": "string", "minLength": 1, "maxLength": 1024}})
    | {"additionalProperties": False},
    "Feedback": object_of(_SAID, ("answered_to", "position")) | {"additionalProperties": False},
    "StoredFeedback": object_of(
        {**_SAID, "feedback_id": TEXT, "reader": TEXT, "given_at": {"type": "string", "format": "date-time"}}
    ),
    "File": object_of({"file": {"type": "string", "contentMediaType": "application/octet-stream"}}),
    "Model": object_of({"name": TEXT, "version": TEXT, "digest": TEXT}),
    "Finding": object_of(
        {
            "name": _NAME,
            "probability": _FRACTION,
            "present": {"type": "boolean", "description": "probability >= threshold"},
            "threshold": _FRACTION,
            "measured": or_null(FLAG)
            | {"description": "whether the test split could say how well it is read; null: not known"},
        }
    ),
    "Answer": object_of(
        {
            "request_id": TEXT,
            "model": named("Model"),
            "preprocessing_version": TEXT,
            "typicality": _FRACTION
            | {"description": "share of known chest radiographs that are less typical than this one"},
            "journal": {"type": "string", "enum": ["written", "spooled"]},
            "cached": FLAG,
            "findings": list_of(named("Finding")),
        }
    ),
    "ModelInfo": object_of(
        {
            "name": TEXT,
            "version": TEXT,
            "digest": TEXT,
            "findings": list_of(
                object_of(
                    {
                        "name": _NAME,
                        "measured": FLAG,
                        "operating_point": _OPERATING_POINT,
                        "auroc": or_null(_INTERVAL),
                        "sensitivity": or_null(_INTERVAL),
                        "specificity": or_null(_INTERVAL),
                        "test_positives": {"type": "integer"},
                        "test_negatives": {"type": "integer"},
                    }
                )
            ),
            "preprocessing_version": TEXT,
            "calibration": TEXT,
            "operating_points_chosen": TEXT,
            "intended_use": TEXT,
            "limitations": list_of(TEXT),
            "training_data": list_of(TEXT),
            "metrics": {"type": "object", "additionalProperties": {"type": "number"}},
        }
    ),
    "Ready": object_of(dict.fromkeys(("ready", "keys", "transformer"), FLAG)),
    "Live": object_of({"live": FLAG}),
    "Document": {"type": "object", "required": ["openapi", "info", "paths"]},
}
_CLASSIFY: Final = operation(
    "classify", "The findings of one radiograph.", responses("Answer", ASKING_ERRORS), CLASSIFY_SCOPE
) | {
    "requestBody": {
        "required": True,
        "content": json_of("ImageId") | {"multipart/form-data": {"schema": named("File")}},
    },
}
_FEEDBACK: Final = operation(
    "feedback",
    "A radiologist's verdicts on an answer; stored once per request id, and never changed.",
    responses("StoredFeedback", WRITING_ERRORS, "201"),
    FEEDBACK_SCOPE,
) | {"requestBody": {"required": True, "content": json_of("Feedback")}}
_MODEL_INFO: Final = operation(
    "modelInfo", "The model that answers now.", responses("ModelInfo", READING_ERRORS), READ_SCOPE
)
_LIVE: Final = operation("live", "The process answers.", responses("Live", OPEN_ERRORS), None)
_READY: Final = operation(
    "ready",
    "Keys and transformer are there.",
    responses("Ready", OPEN_ERRORS) | {"503": response("It would not answer.", json_of("Ready"))},
    None,
)
_DOCUMENT: Final = operation("openapi", "This document.", responses("Document", OPEN_ERRORS), None)
DOCUMENT: Final[dict[str, Any]] = {
    "openapi": "3.1.0",
    "info": {
        "title": "Pleura",
        "version": "1",
        "description": "Findings of chest radiographs; V2 (Open Inference Protocol) stands under /v2.",
    },
    "paths": {
        "/classify": {"post": _CLASSIFY},
        "/feedback": {"post": _FEEDBACK},
        "/model-info": {"get": _MODEL_INFO},
        "/healthz": {"get": _LIVE},
        "/readyz": {"get": _READY},
        "/openapi.json": {"get": _DOCUMENT},
        **openapi_v2.PATHS,
    },
    "components": {
        **shared_components(),
        "schemas": _SCHEMAS | openapi_v2.SCHEMAS,
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
    },
}


async def openapi(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI endpoint: the document."""
    await JSONResponse(DOCUMENT)(scope, receive, send)
