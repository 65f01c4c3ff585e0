"""Reads a V2 request to the transformer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pleura.contract import TRANSFORMER_DEFAULT_OUTPUTS, TRANSFORMER_INPUTS, TRANSFORMER_OUTPUTS
from pleura.deadline import Deadline
from pleura.errors import InvalidRequest, PleuraError, TooLarge
from pleura.identifiers import Identifiers
from pleura.serving.kserve_import import InferRequest
from pleura.serving.v2 import select_outputs
from pleura.serving.v2_tensors import array_of_input
from transformer.element_outcomes import raise_failures
from transformer.journal.row import RequestKey
from transformer.object_id import ObjectId
from transformer.radiograph_source import RadiographSource, SentRadiograph, StoredRadiograph
from transformer.request_identifiers import read_request_identifiers

_TRACE_HEADERS: Final = ("traceparent", "tracestate")
_MAX_ID: Final = 256


@dataclass(frozen=True)
class RequestLimits:
    """The most that one request may ask for."""

    timeout_s: float
    max_elements: int
    max_file_bytes: int


@dataclass(frozen=True)
class RadiographRequest:
    """A valid request about one or more radiographs. ``identifiers`` has one element for each of them."""

    infer_request: InferRequest
    key: RequestKey
    sources: tuple[RadiographSource, ...]
    identifiers: tuple[Identifiers, ...]
    outputs: tuple[str, ...]
    deadline: Deadline
    trace: Mapping[str, str]


def read_request(
    request: InferRequest, headers: Mapping[str, str], limits: RequestLimits
) -> RadiographRequest:
    """Read a V2 request.

    Raises:
        InvalidRequest: The request has not exactly one known input, or a wrong datatype, shape or number of
            elements; it names an unknown output; or an object id, an identifier, the request id or a header
            is not valid.
        TooLarge: A file exceeds the limit.
    """
    deadline = Deadline.from_headers(headers, limits.timeout_s)
    outputs = select_outputs(request, TRANSFORMER_OUTPUTS, TRANSFORMER_DEFAULT_OUTPUTS)
    key = RequestKey(
        require_printable_id("principal", headers.get("x-pleura-principal", "anonymous")),
        require_printable_id("request id", request.id),
    )
    # gRPC carries printable ASCII only: another header would fail all requests that share the work
    trace = {n: headers[n] for n in _TRACE_HEADERS if n in headers and _is_printable_ascii(headers[n])}
    sources = _read_sources(request, limits)
    identifiers = read_request_identifiers(request, len(sources))
    trace["x-request-id"] = _replace_non_ascii(request.id)
    return RadiographRequest(request, key, sources, identifiers, outputs, deadline, trace)


def _is_printable_ascii(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _replace_non_ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()


def require_printable_id(what: str, text: str) -> str:
    """Give the id back when the journal may keep it.

    Raises:
        InvalidRequest: The id is empty or too long, or contains characters that cannot be printed.
    """
    if not (0 < len(text) <= _MAX_ID and text.isprintable()):
        raise InvalidRequest(f"the {what} must be 1 to {_MAX_ID} printable characters")
    return text


def _read_sources(request: InferRequest, limits: RequestLimits) -> tuple[RadiographSource, ...]:
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
    elements: list[bytes] = array_of_input(infer_input).tolist()
    if infer_input.name == "image_id":
        return _read_each(elements, lambda element: StoredRadiograph(ObjectId.from_bytes(element)))
    limit = limits.max_file_bytes
    return _read_each(elements, lambda element: SentRadiograph(_require_small(element, limit)))


def _read_each(
    elements: Sequence[bytes], read: Callable[[bytes], RadiographSource]
) -> tuple[RadiographSource, ...]:
    sources: list[RadiographSource] = []
    failures: dict[int, PleuraError] = {}
    for position, element in enumerate(elements):
        try:
            sources.append(read(element))
        except PleuraError as error:  # a caller must learn of every element at once
            failures[position] = error
    raise_failures(failures, len(elements))
    return tuple(sources)


def _require_small(file: bytes, limit: int) -> bytes:
    if len(file) > limit:
        raise TooLarge(f"the file exceeds {limit} bytes")
    return file
