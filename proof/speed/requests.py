"""Requests as bytes, made before anything is measured: by id, with a file, many ids at once."""

import json
from collections.abc import Sequence
from typing import Final

_BOUNDARY: Final = "pleura-benchmark"
_FORM: Final = f"multipart/form-data; boundary={_BOUNDARY}"
_PART: Final = f'--{_BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'.encode()
INFER: Final = "/v2/models/chest-xray/infer"


def post(target: str, body: bytes, token: str = "", content_type: str = "application/json") -> bytes:
    """A whole request, head and body."""
    head = [f"POST {target} HTTP/1.1", "host: localhost", f"content-type: {content_type}"]
    if token:
        head.append(f"authorization: Bearer {token}")
    head.append(f"content-length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode() + body


def by_id(token: str, image_id: str) -> bytes:
    """Ask ``/classify`` about a stored radiograph."""
    return post("/classify", json.dumps({"image_id": image_id}).encode(), token)


def with_file(token: str, file: bytes) -> bytes:
    """Ask ``/classify`` about a radiograph that is sent along."""
    body = _PART + file + f"\r\n--{_BOUNDARY}--\r\n".encode()
    return post("/classify", body, token, _FORM)


def by_ids(token: str, image_ids: Sequence[str]) -> bytes:
    """Ask V2 about many stored radiographs in one request."""
    tensor = {"name": "image_id", "datatype": "BYTES", "shape": [len(image_ids)], "data": list(image_ids)}
    return post(INFER, json.dumps({"inputs": [tensor]}).encode(), token)
