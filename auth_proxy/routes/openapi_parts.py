"""What the OpenAPI document is put together from."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

TEXT: Final = {"type": "string"}
FLAG: Final = {"type": "boolean"}
_ERRORS: Final = {
    "400": "The request is malformed, or the file is no readable radiograph.",
    "401": "The bearer token is missing or not valid.",
    "403": "The token lacks the scope.",
    "404": "There is no radiograph, model, version or answer of that name.",
    "408": "The body did not arrive in time.",
    "409": "The request id was used before, for another radiograph or other verdicts.",
    "413": "The body is too large.",
    "422": "The file is no radiograph that the model may answer on.",
    "429": "Too many requests of this principal; see Retry-After.",
    "500": "An error of ours.",
    "502": "The model gave no valid answer.",
    "503": "A part is down, or too much is in flight; see Retry-After.",
    "504": "The time for this request has run out.",
}
ASKING_ERRORS: Final = tuple(_ERRORS)
"""How a question about a radiograph can fail."""
WRITING_ERRORS: Final = tuple(code for code in _ERRORS if code != "422")
"""How what a radiologist says can fail to be stored."""
READING_ERRORS: Final = ("400", "401", "403", "408", "413", "429", "500", "502", "503", "504")
"""How a question about the service can fail."""
OPEN_ERRORS: Final = ("400", "413", "500", "504")
"""How a question can fail that nobody need say who they are for."""
_REQUEST_ID: Final = {
    "description": "The caller's x-request-id, or a new one.",
    "required": True,
    "schema": TEXT,
}
_RETRY_AFTER: Final = {
    "description": "Seconds until asking again may help.",
    "required": True,
    "schema": {"type": "integer", "minimum": 1},
}
_CHALLENGE: Final = {"description": "RFC 6750 section 3.", "required": True, "schema": TEXT}
_MORE_HEADERS: Final = {
    "401": {"www-authenticate": _CHALLENGE},
    "429": {"retry-after": _RETRY_AFTER},
    "503": {"retry-after": _RETRY_AFTER},
}
_PARAMETERS: Final = {
    "RequestId": {
        "name": "x-request-id",
        "in": "header",
        "description": "The same id twice writes one row of the journal.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"},
    },
    "Timeout": {
        "name": "x-request-timeout-ms",
        "in": "header",
        "description": "How long the caller waits.",
        "schema": {"type": "integer", "minimum": 1},
    },
}


def object_of(properties: Mapping[str, Any], optional: Sequence[str] = ()) -> dict[str, Any]:
    """Schema of an object with these members, all required but some."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": dict(properties), "required": required}


def or_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Schema of what may be missing though its member is there."""
    return {"anyOf": [dict(schema), {"type": "null"}]}


def list_of(items: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Schema of an array."""
    return {"type": "array", "items": dict(items), **more}


def named(schema: str) -> dict[str, str]:
    """Reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{schema}"}


def json_of(schema: str) -> dict[str, Any]:
    """Content that is JSON."""
    return {"application/json": {"schema": named(schema)}}


def response(description: str, content: Mapping[str, Any], status: str = "200") -> dict[str, Any]:
    """One answer with its headers."""
    headers = {"x-request-id": _REQUEST_ID, **_MORE_HEADERS.get(status, {})}
    return {"description": description, "content": dict(content), "headers": headers}


def responses(schema: str, errors: Sequence[str], status: str = "200") -> dict[str, Any]:
    """A JSON answer, and the ways to fail."""
    answered = {status: response("The answer.", json_of(schema))}
    return answered | {code: {"$ref": f"#/components/responses/{code}"} for code in errors}


def shared_components() -> dict[str, Any]:
    """What the operations refer to: the ways to fail, and the headers that a caller may send."""
    failures = {code: response(text, json_of("Error"), code) for code, text in _ERRORS.items()}
    return {"responses": failures, "parameters": _PARAMETERS}


def operation(name: str, summary: str, answers: Mapping[str, Any], scope: str | None) -> dict[str, Any]:
    """What can be asked at a path; ``scope`` is None where nobody need say who they are."""
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [{"$ref": f"#/components/parameters/{each}"} for each in _PARAMETERS],
        "responses": dict(answers),
        "security": [{"bearer": [scope]}] if scope else [],
    }
