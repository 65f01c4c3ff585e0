"""A REST request as a value, and the functions that build tables of them."""

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.servers import HttpAnswer
from tests.conformance.v2_request import MODEL

BOTH = ("proxy", "transformer")
INFER = f"/v2/models/{MODEL}/infer"
JSON_LENGTH = "inference-header-content-length"
NOT_JSON = "the body is not JSON"
NO_PATH = "no such path"


@dataclass(frozen=True)
class RestRequest:
    """A request with its expected status and whole error text. ``check`` checks the rest of the answer."""

    name: str
    body: bytes | None = None
    status: int = 200
    error: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    verb: str = "POST"
    path: str = INFER
    servers: tuple[str, ...] = BOTH
    check: Callable[[HttpAnswer], object] = field(default=lambda answer: True)


def make_input(**changes: Any) -> dict[str, Any]:
    """Make a valid input with some members changed. The value ``...`` removes a member."""
    tensor = {"name": "image_id", "datatype": "BYTES", "shape": [1], "data": ["r0.png"]} | changes
    return {name: value for name, value in tensor.items() if value is not ...}


def make_document(tensor: Any = None, **more: Any) -> dict[str, Any]:
    """Make a request document of one input, with more members."""
    return {"inputs": [make_input() if tensor is None else tensor], **more}


def encode_json(document: Any) -> bytes:
    """Encode the document as a body."""
    return json.dumps(document).encode()


def encode_document(tensor: Any = None, **more: Any) -> bytes:
    """Encode a request document of one input, with more members."""
    return encode_json(make_document(tensor, **more))


def encode_input(**changes: Any) -> bytes:
    """Encode a request document of one valid input with some members changed."""
    return encode_document(make_input(**changes))


GOOD = encode_document()
RAW = struct.pack("<I", 6) + b"r0.png"
