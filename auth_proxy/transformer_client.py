"""Call the transformer over REST, and turn its failures into our errors."""

import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog

from auth_proxy.call import Call
from auth_proxy.metrics import UPSTREAM
from pleura.deadline import TIMEOUT_HEADER
from pleura.errors import (
    ERROR_CODE_HEADER,
    Conflict,
    DeadlineExceeded,
    InvalidAnswer,
    InvalidRequest,
    NotFound,
    PleuraError,
    RefusedRadiograph,
    ServiceKeyRequired,
    TooLarge,
    TooManyRequests,
    Unavailable,
    UnknownHost,
    UnsupportedMediaType,
    select_details,
)
from pleura.http_client import Content, HttpClient, HttpFailed, Response
from pleura.request_id import REQUEST_ID_HEADER

MAX_ANSWER_BYTES: Final = 16 * 2**20
_CODE: Final = re.compile("[a-z_]{1,40}")
_ERRORS: Final = (
    *(InvalidRequest, NotFound, Conflict, TooLarge, UnsupportedMediaType, RefusedRadiograph, TooManyRequests),
    *(InvalidAnswer, Unavailable, DeadlineExceeded),
)
_CODES: Final = {error.status: error.code for error in _ERRORS}
"""The code for the status of an error that brings none."""
_REFUSED_PROXY: Final = (ServiceKeyRequired.status, UnknownHost.status)
log = structlog.get_logger()


class TransformerRefused(PleuraError):
    """The transformer answers with an error. The caller gets its status and its message."""

    def __init__(
        self, status: int, message: str, headers: Mapping[str, str], details: Mapping[str, Any]
    ) -> None:
        super().__init__(message)
        code, retry_after = headers.get(ERROR_CODE_HEADER, ""), headers.get("retry-after")
        self.status = status
        # the code becomes a metric label, so only the form of our codes may pass
        self.code = code if _CODE.fullmatch(code) else _CODES.get(status, PleuraError.code)
        # each 503 says when to send the request again, also one that Envoy wrote
        self._retry_after = retry_after if status != Unavailable.status else retry_after or "2"
        self._details = details

    @property
    def headers(self) -> Mapping[str, str]:
        """When to send the request again, if the transformer says so."""
        return {"retry-after": self._retry_after} if self._retry_after else {}

    @property
    def details(self) -> Mapping[str, Any]:
        """The details that the transformer gives."""
        return self._details


def parse_refusal(response: Response, content: bytes, prefix: str = "") -> PleuraError:
    """Parse the error of the transformer, and remove a prefix of its message.

    An error in another form than ours does not reach the caller. Nor does one that only the proxy can have
    caused: the caller's token and host name are not wrong.
    """
    if response.status_code in _REFUSED_PROXY:
        code = response.headers.get(ERROR_CODE_HEADER, "")
        log.error("transformer_refused_proxy", status=response.status_code, code=code[:40])
        return Unavailable("the transformer does not answer")
    try:
        document = json.loads(content)
        message = document["error"]
    except (ValueError, KeyError, TypeError):
        message = None
    if not isinstance(message, str) or not 400 <= response.status_code < 600:
        return InvalidAnswer("the transformer gives no valid answer")
    text = message.removeprefix(prefix)
    return TransformerRefused(response.status_code, text, response.headers, select_details(document))


def build_transformer_headers(call: Call) -> dict[str, str]:
    """Build the headers that only the proxy may set: request id, principal, trace and deadline."""
    headers = {
        REQUEST_ID_HEADER: call.request_id,
        "x-pleura-principal": call.principal or "",
        **call.span.as_headers(),
    }
    return headers | ({TIMEOUT_HEADER: call.deadline.as_header()} if call.deadline else {})


class TransformerClient:
    """Calls the transformer over REST.

    Args:
        url: Its address.
        headers: Headers that each call carries, besides its own.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._client, self._headers = HttpClient(url), headers

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    @asynccontextmanager
    async def request(
        self, verb: str, path: str, headers: Mapping[str, str], content: Content = b""
    ) -> AsyncIterator[Response]:
        """Send a request, and yield the answer as soon as its head has arrived.

        Raises:
            Unavailable: The transformer does not answer, or the connection breaks.
        """
        started_s = time.perf_counter()
        try:
            async with self._client.request(verb, path, {**headers, **self._headers}, content) as response:
                UPSTREAM["rest"].observe(time.perf_counter() - started_s)
                yield response
        except HttpFailed as error:
            raise Unavailable("the transformer does not answer") from error

    async def read(
        self, verb: str, path: str, headers: Mapping[str, str], content: Content = b""
    ) -> tuple[Response, bytes]:
        """Send a request and read its whole answer."""
        async with self.request(verb, path, headers, content) as response:
            return response, await read_answer(response)


async def read_answer(response: Response) -> bytes:
    """Read the whole body of an answer.

    Raises:
        InvalidAnswer: The body is too long.
    """
    content = b""
    async for chunk in response.chunks():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise InvalidAnswer("the transformer's answer is too long")
    return content
