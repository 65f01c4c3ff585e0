"""The V2 inference request that the proxy makes of a request to ``POST /classify``."""

import json
import struct
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.datastructures import UploadFile

from auth_proxy.uploads.hints import explain_document
from pleura.errors import InvalidRequest
from pleura.http_client import Content
from pleura.identifiers import IDENTIFIER_NAMES

OUTPUTS: Final = ("probability", "present", "threshold", "typicality")
"""The outputs of V2 that the answer of ``POST /classify`` is made of."""
NOTHING_GIVEN: Final[Mapping[str, str]] = {}
_MAX_ID_BYTES: Final = 1024
_ID_FORM: Final = (
    f'the body must be {{"image_id": "..."}}, of 1 to {_MAX_ID_BYTES} bytes, and may have the members '
    + ", ".join(IDENTIFIER_NAMES)
)
_CHUNK_BYTES: Final = 2**18


@dataclass(frozen=True)
class InferenceBody:
    """The body of a V2 inference request: its JSON, and the file that follows as a binary tensor."""

    json: bytes
    file: UploadFile | None = None
    file_bytes: int = 0

    @property
    def headers(self) -> dict[str, str]:
        """The headers that describe the body."""
        if self.file is None:
            return {"content-type": "application/json"}
        return {
            "content-type": "application/octet-stream",
            "content-length": str(len(self.json) + 4 + self.file_bytes),
            "inference-header-content-length": str(len(self.json)),
        }

    @property
    def content(self) -> Content:
        """The bytes of the body."""
        return self.json if self.file is None else self._chunks(self.file)

    async def _chunks(self, file: UploadFile) -> AsyncIterator[bytes]:
        yield self.json + struct.pack("<I", self.file_bytes)
        # to send the file in one piece, or with fewer copies, gained nothing (docs/decisions/0021)
        while chunk := await file.read(_CHUNK_BYTES):
            yield chunk


def _build_json(
    request_id: str, infer_input: Mapping[str, Any], identifiers: Mapping[str, str | None]
) -> bytes:
    outputs = [{"name": name} for name in OUTPUTS]
    document = {"id": request_id, "inputs": [infer_input], "outputs": outputs}
    return json.dumps(document | ({"parameters": identifiers} if identifiers else {})).encode()


def build_id_request(body: bytes, request_id: str) -> InferenceBody:
    """Build a request for the radiograph that ``{"image_id": ...}`` names, with its identifiers.

    Raises:
        InvalidRequest: The body has another form. The transformer checks the identifiers themselves.
    """
    document = None
    try:
        document = json.loads(body)
        image_id = document["image_id"]
        size = len(image_id.encode())
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise InvalidRequest(explain_document(document)) from error
    identifiers = {name: value for name, value in document.items() if name != "image_id"}
    if not identifiers.keys() <= set(IDENTIFIER_NAMES) or not 0 < size <= _MAX_ID_BYTES:
        raise InvalidRequest(_ID_FORM)
    if not all(isinstance(value, str | None) for value in identifiers.values()):
        raise InvalidRequest("an identifier must be a text")
    tensor = {"name": "image_id", "datatype": "BYTES", "shape": [1], "data": [image_id]}
    return InferenceBody(_build_json(request_id, tensor, identifiers))


def build_file_request(
    file: UploadFile, request_id: str, identifiers: Mapping[str, str] = NOTHING_GIVEN
) -> InferenceBody:
    """Build a request for the radiograph in a file. The name of the file does not reach the transformer."""
    size = file.size or 0
    tensor = {
        "name": "image",
        "datatype": "BYTES",
        "shape": [1],
        "parameters": {"binary_data_size": size + 4},
    }
    return InferenceBody(_build_json(request_id, tensor, identifiers), file, size)
