"""Pass a V2 request to the transformer, and the answer back, piece by piece as they arrive."""

import re
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Final

from starlette.types import Receive, Scope, Send

from auth_proxy.call import Call, get_call
from auth_proxy.request_body import cancel_on_disconnect, stream_body
from auth_proxy.request_headers import JSON_LENGTH_HEADER, select_forwarded
from auth_proxy.transformer_client import (
    TransformerClient,
    build_transformer_headers,
    parse_refusal,
    read_answer,
)
from pleura.http_client import Content, Response

_RETURNED: Final = ("content-type", "content-length", JSON_LENGTH_HEADER, "retry-after")
_JSON: Final = "application/json"
_BINARY: Final = "application/octet-stream"
_READINESS: Final = "v2_model_ready"
_MODEL_VERSION: Final = re.compile(rb'"model_version":\s?"([0-9A-Za-z.-]{1,64})"')
_PEEK_BYTES: Final = 1024
_SMALL_BYTES: Final = 65536


class Forward:
    """ASGI endpoint: answer with the transformer's answer."""

    def __init__(self, transformer: TransformerClient) -> None:
        self._transformer = transformer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        call = get_call(scope)
        headers = (
            select_forwarded(call.headers) | build_transformer_headers(call) | {"accept-encoding": "identity"}
        )
        # uvicorn sends no body to HEAD; the transformer's is small
        verb = "GET" if scope["method"] == "HEAD" else scope["method"]
        content: Content = b""
        if verb == "POST":
            # NVIDIA's client sends none, and the transformer requires one
            headers.setdefault("content-type", _BINARY if JSON_LENGTH_HEADER in headers else _JSON)
            content = await _read_content(receive, call)
            if not isinstance(content, bytes) and "content-length" in call.headers:
                headers["content-length"] = call.headers["content-length"]
        path = scope["raw_path"].decode("ascii")
        async with (
            cancel_on_disconnect(receive, call),
            self._transformer.request(verb, path, headers, content) as response,
        ):
            await _require_success(response, call)
            await _send_answer(response, call, send)


async def _read_content(receive: Receive, call: Call) -> Content:
    """Read the body at once if it arrived with the head, else as it arrives."""
    chunks = stream_body(receive)
    first = await anext(chunks, b"")
    # bytes go over a kept connection, a stream needs a new one (docs/decisions/0013)
    if call.body_is_complete:
        return first

    async def stream() -> AsyncIterator[bytes]:
        yield first
        async for chunk in chunks:
            yield chunk

    return stream()


async def _require_success(response: Response, call: Call) -> None:
    # the 503 of this route is its answer, not an error
    is_readiness = call.route is not None and call.route.name == _READINESS and response.status_code == 503
    if response.status_code == HTTPStatus.OK or is_readiness:
        return
    raise parse_refusal(response, await read_answer(response))


async def _send_answer(response: Response, call: Call, send: Send) -> None:
    headers = [(n.encode(), response.headers[n].encode()) for n in _RETURNED if n in response.headers]
    chunks = _stream_answer(response, call)
    # read a small answer before its head is sent: the deadline must not fall between head and body
    small = b"".join([chunk async for chunk in chunks]) if _is_small(response) else b""
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    # head and body are two packets: joining them gained nothing (docs/decisions/0020)
    await send({"type": "http.response.body", "body": small, "more_body": True})
    async for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body"})


def _is_small(response: Response) -> bool:
    return int(response.headers.get("content-length", _SMALL_BYTES + 1)) <= _SMALL_BYTES


async def _stream_answer(response: Response, call: Call) -> AsyncIterator[bytes]:
    """Yield the body, and read the model version from its beginning."""
    head = b""
    async for chunk in response.chunks():
        if call.model_version is None and len(head) < _PEEK_BYTES:
            head += chunk[:_PEEK_BYTES]
            match = _MODEL_VERSION.search(head)
            call.model_version = match[1].decode() if match else None
        yield chunk
