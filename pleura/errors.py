"""The errors that a request can end with, each with its HTTP status and code."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

RefusalReason = Literal[
    "not_a_radiograph",
    "for_processing",
    "not_chest",
    "not_frontal",
    "pediatric",
    "orientation",
    "inverted",
    "untypical",
    "too_small",
    "several_frames",
    "blank",
    "uncertain_polarity",
    "display_not_supported",
]
"""Why a radiograph is refused. ``docs/reference/dicom.md`` explains those that a DICOM header can cause."""
ERROR_CODE_HEADER: Final = "pleura-error"
"""Header, or trailing metadata of gRPC, that gives the ``code`` of an error."""
ERROR_DETAILS_HEADER: Final = "pleura-error-details"
"""Trailing metadata of gRPC that gives the ``details`` of an error, as JSON."""
ERROR_DETAILS: Final = frozenset({"reason", "elements"})
"""Names of the details that an error may have. The proxy passes no other one on."""


def select_details(document: Any) -> dict[str, Any]:
    """Select the details of an error in the document of another service. Everything else may be internal."""
    if not isinstance(document, dict):
        return {}
    return {name: value for name, value in document.items() if name in ERROR_DETAILS}


@dataclass(frozen=True)
class FailedElement:
    """One radiograph of a request for several that failed. ``reason`` is that of a refusal."""

    element: int
    code: str
    error: str
    reason: str | None = None

    def as_mapping(self) -> dict[str, Any]:
        """Return the JSON form; without a reason where there is none."""
        document = {"element": self.element, "code": self.code, "reason": self.reason, "error": self.error}
        return {name: value for name, value in document.items() if value is not None}


class PleuraError(Exception):
    """Base class of all errors of requests. The server writes it as its ``document``."""

    status = 500
    code = "internal"
    retry_after_s: int | None = None
    elements: tuple[FailedElement, ...] = ()
    """The radiographs that failed, of a request for several."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the response to this error."""
        return {} if self.retry_after_s is None else {"retry-after": str(self.retry_after_s)}

    @property
    def details(self) -> Mapping[str, Any]:
        """What a program can read of this error besides its code. Each name is in ``ERROR_DETAILS``."""
        return {"elements": [each.as_mapping() for each in self.elements]} if self.elements else {}

    def document(self, request_id: str) -> dict[str, Any]:
        """Return the JSON document of the error, which is the body of a response over REST."""
        return {"error": str(self), "code": self.code, "request_id": request_id, **self.details}

    def with_text(self, text: str) -> "PleuraError":
        """Make the same error with another text."""
        return type(self)(text)

    def with_elements(self, text: str, elements: Iterable[FailedElement]) -> "PleuraError":
        """Make the same error, about several radiographs."""
        error = self.with_text(text)
        error.elements = tuple(elements)
        return error


class InvalidRequest(PleuraError):
    """The request has a form, or an input, a shape or a datatype, that the path does not take."""

    status = 400
    code = "invalid_request"


class UnreadableRadiograph(PleuraError):
    """The bytes are not a DICOM, PNG or JPEG file, or their pixel data cannot be decoded."""

    status = 400
    code = "unreadable_radiograph"


class Unauthenticated(PleuraError):
    """The bearer token is missing, malformed, expired, or not meant for this service."""

    status = 401
    code = "unauthenticated"
    reason = "malformed"
    """The kind of refusal, as metrics count it."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The challenge that RFC 6750 section 3 requires."""
        return {"www-authenticate": 'Bearer realm="pleura", error="invalid_token"'}


class ServiceKeyRequired(PleuraError):
    """The call comes from no service of Pleura: the service key is missing or wrong."""

    status = 401
    code = "service_key_required"

    @property
    def headers(self) -> Mapping[str, str]:
        """The challenge that RFC 9110 section 15.5.2 requires."""
        return {"www-authenticate": "Pleura-Service-Key"}


class Forbidden(PleuraError):
    """The principal is known but lacks the scope."""

    status = 403
    code = "forbidden"


class NotFound(PleuraError):
    """The path does not exist."""

    status = 404
    code = "not_found"


class RadiographNotFound(NotFound):
    """The object store holds no radiograph with that id."""

    code = "radiograph_not_found"


class ModelNotFound(NotFound):
    """No model of that name or version is served."""

    code = "model_not_found"


class MethodNotAllowed(PleuraError):
    """The path exists, but does not accept that verb."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, verbs: Iterable[str]) -> None:
        super().__init__("no such verb on that path")
        self._verbs = ", ".join(sorted(verbs))

    @property
    def headers(self) -> Mapping[str, str]:
        """The verbs that the path accepts, as RFC 9110 section 15.5.6 requires."""
        return {"allow": self._verbs}


class Conflict(PleuraError):
    """An earlier request with the same id was answered for another radiograph."""

    status = 409
    code = "conflict"


class TooLarge(PleuraError):
    """The request body or the stored object exceeds its limit."""

    status = 413
    code = "too_large"


class UnsupportedMediaType(PleuraError):
    """The body is not of a media type that the path accepts."""

    status = 415
    code = "unsupported_media_type"


class UnknownHost(PleuraError):
    """The header ``Host`` names a server that this one is not."""

    status = 421
    code = "unknown_host"


class RefusedRadiograph(PleuraError):
    """The file decodes, but the model may not answer on it."""

    status = 422
    code = "refused_radiograph"

    def __init__(self, text: str, *, reason: RefusalReason) -> None:
        mark = f"({reason})"
        super().__init__(text if mark in text else f"{text} {mark}")
        self.reason = reason
        """Why the radiograph is refused. The message names this word."""

    @property
    def text(self) -> str:
        """The message without the reason."""
        return str(self).removesuffix(f" ({self.reason})")

    @property
    def details(self) -> Mapping[str, Any]:
        """The reason, and the radiographs that failed."""
        return {"reason": self.reason, **super().details}

    def with_text(self, text: str) -> "RefusedRadiograph":
        """Make the same error with another text."""
        return RefusedRadiograph(text, reason=self.reason)


class TooManyRequests(PleuraError):
    """The principal exceeds its rate."""

    status = 429
    code = "too_many_requests"
    retry_after_s = 1


class InvalidAnswer(PleuraError):
    """The predictor returned invalid outputs: NaN, a wrong shape, or a probability outside [0, 1]."""

    status = 502
    code = "invalid_answer"


class Unavailable(PleuraError):
    """A part that the answer needs is down, or its queue is full. The caller may try again later."""

    status = 503
    code = "unavailable"
    retry_after_s = 2


class PredictorUnavailable(Unavailable):
    """The predictor does not answer."""

    code = "predictor_unavailable"


class StoreUnavailable(Unavailable):
    """The object store does not answer."""

    code = "store_unavailable"


class Overloaded(Unavailable):
    """Too many requests are in flight. The service rejects this one at once."""

    code = "overloaded"
    retry_after_s = 1


class DeadlineExceeded(PleuraError):
    """The time that the request allowed has run out."""

    status = 504
    code = "deadline_exceeded"
