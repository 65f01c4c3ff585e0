"""What a V2 request asks of the transformer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pleura.contract import TRANSFORMER_DEFAULT_OUTPUTS, TRANSFORMER_INPUTS, TRANSFORMER_OUTPUTS
from pleura.deadline import Deadline
from pleura.errors import InvalidRequest, TooLarge
from pleura.serving.kserve_import import InferRequest
from pleura.serving.v2 import requested_names
from pleura.serving.v2_tensors import array_of
from transformer.journal.row import RequestKey
from transformer.object_id import ObjectId
from transformer.radiograph_source import RadiographSource, SentRadiograph, StoredRadiograph

_TRACE_HEADERS: Final = ("traceparent", "tracestate")
_MAX_ID: Final = 256


@dataclass(frozen=True)
class RequestLimits:
    """What one request may ask for."""

    timeout_s: float
    max_elements: int
    max_file_bytes: int


@dataclass(frozen=True)
class RadiographRequest:
    """A request that is one."""

    request: InferRequest
    asker: RequestKey
    sources: tuple[RadiographSource, ...]
    outputs: tuple[str, ...]
    deadline: Deadline
    trace: Mapping[str, str]


def read_request(
    request: InferRequest, headers: Mapping[str, str], limits: RequestLimits
) -> RadiographRequest:
    """Read a request.

    Raises:
        InvalidRequest: Not exactly one of the inputs, or of another datatype, shape or number; an unknown
            output; an object id, request id or header that is none.
        TooLarge: A file exceeds its limit.
    """
    deadline = Deadline.from_headers(headers, limits.timeout_s)
    outputs = requested_names(request, TRANSFORMER_OUTPUTS, TRANSFORMER_DEFAULT_OUTPUTS)
    asker = RequestKey(
        require_printable_id("principal", headers.get("x-pleura-principal", "anonymous")),
        require_printable_id("request id", request.id),
    )
    # gRPC carries printable ASCII only; a header of anything else would fail all who share the work
    trace = {n: headers[n] for n in _TRACE_HEADERS if n in headers and _is_plain(headers[n])}
    sources = _sources_of(request, limits)
    return RadiographRequest(
        request, asker, sources, outputs, deadline, {**trace, "x-request-id": _ascii(request.id)}
    )


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()


def require_printable_id(what: str, text: str) -> str:
    """Let an id pass that the journal may keep.

    Raises:
        InvalidRequest: It is empty, long, or holds what cannot be printed.
    """
    if not (0 < len(text) <= _MAX_ID and text.isprintable()):
        raise InvalidRequest(f"the {what} must be 1 to {_MAX_ID} printable characters")
    return text


def _sources_of(request: InferRequest, limits: RequestLimits) -> tuple[RadiographSource, ...]:
    names = [spec.name for spec in TRANSFORMER_INPUTS]
    if len(request.inputs) != 1 or request.inputs[0].name not in names:
        raise InvalidRequest("the model takes exactly one input, either 'image_id' or 'image'")
    infer_input = request.inputs[0]
    if infer_input.datatype != "BYTES":
        raise InvalidRequest(f"input {infer_input.name!r} must be BYTES")
    if len(infer_input.shape) != 1:
        raise InvalidRequest(f"input {infer_input.name!r} must have the shape [N]")
    if not 1 <= infer_input.shape[0] <= limits.max_elements:
        raise InvalidRequest(f"a request holds 1 to {limits.max_elements} radiographs")
    elements: list[bytes] = array_of(infer_input).tolist()
    if infer_input.name == "image_id":
        return tuple(StoredRadiograph(_object_id(element, i)) for i, element in enumerate(elements))
    return tuple(
        SentRadiograph(_file(element, i, limits.max_file_bytes)) for i, element in enumerate(elements)
    )


def _object_id(element: bytes, position: int) -> ObjectId:
    try:
        return ObjectId.from_bytes(element)
    except InvalidRequest as error:
        raise InvalidRequest(f"element {position}: {error}") from error


def _file(element: bytes, position: int, limit: int) -> bytes:
    if len(element) > limit:
        raise TooLarge(f"element {position}: the file exceeds {limit} bytes")
    return element
