"""What to do instead: for bodies of ``POST /classify`` that callers send by a well-known mistake.

The texts repeat nothing of the body (docs/decisions/0031).
"""

from collections.abc import Mapping
from typing import Any, Final

SEND_FILE: Final = "send the bytes of a file, with curl -F file=@FILE or as application/dicom"
UNKNOWN_ID: Final = f"no radiograph of that id in the object store; if it is the name of a file, {SEND_FILE}"
_FORM: Final = 'the body must be {"image_id": "..."}'
_V2_PATH: Final = "/v2/models/chest-xray/infer"
V2_REQUEST: Final = f"this is a V2 request: send it to {_V2_PATH}"
_FILE_MEMBERS: Final = frozenset(
    {"b64", "base64", "bytes", "content", "data", "dicom", "file", "image", "image_bytes", "img", "pixels"}
)
_KIND_HINTS: Final[Mapping[str, str]] = {
    "": "the content-type is missing",
    "application/x-www-form-urlencoded": "a form with a file must be multipart/form-data",
    "text/plain": "text is not read, also not base64",
    "application/dicom+json": "DICOM in JSON is not read",
}


def explain_document(document: Any) -> str:
    """Say what is wrong with a JSON body that does not name an id."""
    if isinstance(document, str):
        return f"{_FORM}; base64 is not read: {SEND_FILE}"
    members = {name.lower() for name in document} if isinstance(document, dict) else set()
    if "instances" in members:
        return f"this is a request of KServe V1: Pleura speaks V2 at {_V2_PATH}; to /classify, {SEND_FILE}"
    if "inputs" in members:
        return V2_REQUEST
    if members & _FILE_MEMBERS:
        return f"{_FORM}; a file in JSON or base64 is not read: {SEND_FILE}"
    return _FORM


def explain_kind(kind: str) -> str:
    """Say what is wrong with a content-type."""
    known = _KIND_HINTS.get(kind)
    return f"{known or 'this content-type is not read'}: name an id in application/json, or {SEND_FILE}"
