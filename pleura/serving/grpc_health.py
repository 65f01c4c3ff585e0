"""The standard health check of gRPC: ``grpc.health.v1.Health/Check``.

``Watch`` is UNIMPLEMENTED, which tells a client to go on without it: each watcher would hold one of the
places for calls.

Source:
    grpc/grpc, doc/health-checking.md and src/proto/grpc/health/v1/health.proto; Protocol Buffers, "Encoding".
"""

from typing import Final

from pleura.errors import NotFound

HEALTH_SERVICE: Final = "grpc.health.v1.Health"
CHECK_METHOD: Final = f"/{HEALTH_SERVICE}/Check"
V2_SERVICE: Final = "inference.GRPCInferenceService"
_SERVING: Final = b"\x08\x01"
_NOT_SERVING: Final = b"\x08\x02"


def write_text_message(text: str) -> bytes:
    """Write a message whose only field is the text of field 1, as clients do; an empty text is left out."""
    raw = text.encode()
    return b"\x0a" + bytes([len(raw)]) + raw if raw else b""


# compared as bytes, so that the proxy needs no library for protobuf
_CHECKED: Final = frozenset(write_text_message(name) for name in ("", V2_SERVICE, HEALTH_SERVICE))


def answer_check(request: bytes, is_ready: bool) -> bytes:
    """Answer a HealthCheckRequest about the whole server or one of its services.

    Raises:
        NotFound: The server has no service of that name.
    """
    if request not in _CHECKED:
        raise NotFound("no such service")
    return _SERVING if is_ready else _NOT_SERVING
