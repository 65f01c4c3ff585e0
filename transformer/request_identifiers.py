"""Read the identifiers that a V2 request gives for its radiographs, as parameters."""

from collections.abc import Sequence
from typing import Any, Final

from pleura.errors import InvalidRequest
from pleura.identifiers import IDENTIFIER_NAMES, Identifiers, read_identifier
from pleura.serving.kserve_import import InferRequest

_SEPARATOR: Final = "\\"  # DICOM separates values with it, so it is in no identifier (PS3.5 section 6.2)
_NOT_SHARED: Final = "sop_instance_uid"


def read_request_identifiers(request: InferRequest, radiographs: int) -> tuple[Identifiers, ...]:
    """Read the identifiers of each radiograph, from the parameters of the request or of its input.

    A text stands for all radiographs, except that each has its own SOP instance UID. For several values a
    parameter is a list (REST only), or a text with a backslash between the values. An empty value is unknown.

    Raises:
        InvalidRequest: A parameter has another type, another number of values or a value that DICOM does not
            allow, or stands in both places.
    """
    columns = {name: _read_parameter(request, name, radiographs) for name in IDENTIFIER_NAMES}
    return tuple(
        Identifiers(**{name: column[position] for name, column in columns.items()})
        for position in range(radiographs)
    )


def _read_parameter(request: InferRequest, name: str, radiographs: int) -> Sequence[str | None]:
    places = [request.parameters or {}, request.inputs[0].parameters or {}]
    values = [place[name] for place in places if place.get(name) is not None]
    if not values:
        return [None] * radiographs
    if len(values) > 1:
        raise InvalidRequest(f"{name!r} stands in the parameters of the request and of its input")
    texts = _split(values[0], name)
    if len(texts) == 1 and name != _NOT_SHARED:
        texts = texts * radiographs
    if len(texts) != radiographs:
        raise InvalidRequest(f"{name!r} must have one value for each radiograph")
    return [None if text is None else read_identifier(name, text) for text in texts]


def _split(value: Any, name: str) -> list[str | None]:
    texts: Any = value.split(_SEPARATOR) if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str | None) for text in texts):
        raise InvalidRequest(f"{name!r} must be a text, or a list of texts")
    return [*texts]
