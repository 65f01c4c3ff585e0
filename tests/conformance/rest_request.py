"""A REST request as a value, and what the tables of them are written with."""

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.hops import HttpAnswer
from tests.conformance.question import MODEL

BOTH = ("proxy", "transformer")
INFER = f"/v2/models/{MODEL}/infer"
JSON_LENGTH = "inference-header-content-length"
NOT_JSON = "the body is not JSON"
NO_PATH = "no such path"


@dataclass(frozen=True)
class RestRequest:
    """A request, and the status and whole error that it gets; ``check`` looks at what else there is."""

    name: str
    body: bytes | None = None
    status: int = 200
    error: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    verb: str = "POST"
    path: str = INFER
    hops: tuple[str, ...] = BOTH
    check: Callable[[HttpAnswer], object] = field(default=lambda answer: True)


def input_of(**changes: Any) -> dict[str, Any]:
    """A good input with some members changed; ``...`` takes one away."""
    tensor = {"name": "image_id", "datatype": "BYTES", "shape": [1], "data": ["r0.png"]} | changes
    return {name: value for name, value in tensor.items() if value is not ...}


def document(tensor: Any = None, **more: Any) -> dict[str, Any]:
    """A request of one input, with more members."""
    return {"inputs": [input_of() if tensor is None else tensor], **more}


def json_of(document: Any) -> bytes:
    """The body."""
    return json.dumps(document).encode()


GOOD = json_of(document())
RAW = struct.pack("<I", 6) + b"r0.png"
