"""Asking the transformer over REST, with its failures in our words."""

import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from auth_proxy.call import Call
from auth_proxy.metrics import UPSTREAM
from pleura.deadline import TIMEOUT_HEADER
from pleura.errors import ERROR_CODE_HEADER, InvalidAnswer, PleuraError, Unavailable
from pleura.http_client import Content, HttpClient, HttpFailed, Response

MAX_ANSWER_BYTES: Final = 16 * 2**20
_CODE: Final = re.compile("[a-z_]{1,40}")


class TransformerRefused(PleuraError):
    """The transformer answers with an error; it is passed on with its status and its words."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str]) -> None:
        super().__init__(message)
        code, retry_after = headers.get(ERROR_CODE_HEADER, ""), headers.get("retry-after")
        self.status, self.code = status, code if _CODE.fullmatch(code) else f"refused_{status}"
        self._retry_after = retry_after if status != Unavailable.status else retry_after or "2"

    @property
    def headers(self) -> Mapping[str, str]:
        """When to ask again, where the transformer says so."""
        return {"retry-after": self._retry_after} if self._retry_after else {}


def refusal_of(response: Response, content: bytes, prefix: str = "") -> PleuraError:
    """Read the error that the transformer answers with, without a prefix that says nothing.

    Nothing passes but the form that all our errors have.
    """
    try:
        message = json.loads(content)["error"]
    except (ValueError, KeyError, TypeError):
        message = None
    if not isinstance(message, str) or not 400 <= response.status_code < 600:
        return InvalidAnswer("the transformer gives no valid answer")
    return TransformerRefused(response.status_code, message.removeprefix(prefix), response.headers)


def hop_headers(call: Call) -> dict[str, str]:
    """The headers that we, and nobody else, say to the transformer."""
    headers = {
        "x-request-id": call.request_id,
        "x-pleura-principal": call.principal or "",
        **call.span.as_headers(),
    }
    return headers | ({TIMEOUT_HEADER: call.deadline.as_header()} if call.deadline else {})


class TransformerClient:
    """The transformer's REST address, and the connections to it."""

    def __init__(self, url: str) -> None:
        self._client = HttpClient(url)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    @asynccontextmanager
    async def ask(
        self, verb: str, path: str, headers: Mapping[str, str], content: Content = b""
    ) -> AsyncIterator[Response]:
        """Send a request; give its answer as soon as its head is there.

        Raises:
            Unavailable: The transformer does not answer, or breaks off.
        """
        began_s = time.perf_counter()
        try:
            async with self._client.request(verb, path, headers, content) as response:
                UPSTREAM["rest"].observe(time.perf_counter() - began_s)
                yield response
        except HttpFailed as error:
            raise Unavailable("the transformer does not answer") from error

    async def read(
        self, verb: str, path: str, headers: Mapping[str, str], content: Content = b""
    ) -> tuple[Response, bytes]:
        """Send a request and read its whole answer."""
        async with self.ask(verb, path, headers, content) as response:
            return response, await whole(response)


async def whole(response: Response) -> bytes:
    """Read an answer of bounded length.

    Raises:
        InvalidAnswer: It is longer.
    """
    content = b""
    async for chunk in response.chunks():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise InvalidAnswer("the transformer's answer is too long")
    return content
