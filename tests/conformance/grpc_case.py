"""A gRPC message as a value, with what a server must answer."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc

from tests.conformance.servers import GrpcAnswer
from tests.conformance.v2_request import V2Request

BOTH = ("proxy", "transformer")
OK, INVALID = grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND, UNIMPLEMENTED = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED
NO_MODEL = "no model of that name is served; the model's name is 'chest-xray'"
NO_VERSION = "no such version of the model is served"
UNREADABLE = "the message is not of its type"


@dataclass(frozen=True)
class GrpcCase:
    """A message to a method, with its expected code and whole error text.

    ``details`` is None if grpc words the error. ``check`` checks the answer.
    """

    name: str
    message: bytes = b""
    code: grpc.StatusCode = OK
    details: str | None = ""
    method: str = "ModelInfer"
    metadata: tuple[tuple[str, str], ...] = ()
    compression: grpc.Compression | None = None
    servers: tuple[str, ...] = BOTH
    check: Callable[[GrpcAnswer], object] = field(default=lambda answer: True)


def build_infer(
    change: Callable[[Any], object] = lambda message: None, typed: bool = False, **more: Any
) -> bytes:
    """Build a valid inference request with a change."""
    message = V2Request(**more).to_message(typed)
    change(message)
    return bytes(message.SerializeToString())
