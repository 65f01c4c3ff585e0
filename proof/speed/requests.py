"""Build requests as bytes before a measurement starts."""

import json
from collections.abc import Sequence
from typing import Final

_BOUNDARY: Final = "pleura-benchmark"
_FORM: Final = f"multipart/form-data; boundary={_BOUNDARY}"
# As small as a form can be: the parser is not what is measured.
_PART: Final = f'--{_BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'.encode()
INFER: Final = "/v2/models/chest-xray/infer"


def build_post(target: str, body: bytes, token: str = "", content_type: str = "application/json") -> bytes:
    """Build a complete request, head and body."""
    head = [f"POST {target} HTTP/1.1", "host: localhost", f"content-type: {content_type}"]
    if token:
        head.append(f"authorization: Bearer {token}")
    head.append(f"content-length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode() + body


def build_id_request(token: str, image_id: str) -> bytes:
    """Build a request to ``/classify`` for a stored radiograph."""
    return build_post("/classify", json.dumps({"image_id": image_id}).encode(), token)


def build_file_request(token: str, file: bytes) -> bytes:
    """Build a request to ``/classify`` that carries the radiograph."""
    body = _PART + file + f"\r\n--{_BOUNDARY}--\r\n".encode()
    return build_post("/classify", body, token, _FORM)


def build_ids_request(token: str, image_ids: Sequence[str]) -> bytes:
    """Build a V2 request for many stored radiographs."""
    tensor = {"name": "image_id", "datatype": "BYTES", "shape": [len(image_ids)], "data": list(image_ids)}
    # JSON, because it is the form that most clients of V2 send.
    return build_post(INFER, json.dumps({"inputs": [tensor]}).encode(), token)
