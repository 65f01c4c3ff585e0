"""Passing a V2 request on, and its answer back, as they arrive."""

import re
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Final

from starlette.types import Receive, Scope, Send

from auth_proxy.call import Call, get_call
from auth_proxy.request_body import cancel_on_disconnect, stream_body
from auth_proxy.request_headers import select_forwarded
from auth_proxy.transformer_client import TransformerClient, hop_headers, refusal_of, whole
from pleura.http_client import Content, Response

_RETURNED: Final = ("content-type", "content-length", "inference-header-content-length", "retry-after")
_READINESS: Final = ("v2_health", "v2_model_ready")
_MODEL_VERSION: Final = re.compile(rb'"model_version":\s?"([0-9A-Za-z.-]{1,64})"')
_PEEK_BYTES: Final = 1024
_SMALL_BYTES: Final = 65536


class Forward:
    """ASGI endpoint: the transformer answers."""

    def __init__(self, upstream: TransformerClient) -> None:
        self._upstream = upstream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        call = get_call(scope)
        headers = select_forwarded(call.headers) | hop_headers(call) | {"accept-encoding": "identity"}
        content: Content = b""
        if scope["method"] == "POST":
            content = await _content(receive, call)
            if not isinstance(content, bytes) and "content-length" in call.headers:
                headers["content-length"] = call.headers["content-length"]
        path = scope["raw_path"].decode("ascii")
        async with (
            cancel_on_disconnect(receive, call),
            self._upstream.ask(scope["method"], path, headers, content) as response,
        ):
            await _check(response, call)
            await _send(response, call, send)


async def _content(receive: Receive, call: Call) -> Content:
    """The body at once where it has arrived with the head, else as it comes."""
    chunks = stream_body(receive)
    first = await anext(chunks, b"")
    if call.body_is_complete:
        return first

    async def stream() -> AsyncIterator[bytes]:
        yield first
        async for chunk in chunks:
            yield chunk

    return stream()


async def _check(response: Response, call: Call) -> None:
    is_readiness = call.route is not None and call.route.name in _READINESS and response.status_code == 503
    if response.status_code == HTTPStatus.OK or is_readiness:
        return
    raise refusal_of(response, await whole(response))


async def _send(response: Response, call: Call, send: Send) -> None:
    headers = [(n.encode(), response.headers[n].encode()) for n in _RETURNED if n in response.headers]
    chunks = _peeked(response, call)
    # a small answer goes out whole or not at all: the deadline must not fall between its head and its body
    small = b"".join([chunk async for chunk in chunks]) if _is_small(response) else b""
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": small, "more_body": True})
    async for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body"})


def _is_small(response: Response) -> bool:
    return int(response.headers.get("content-length", _SMALL_BYTES + 1)) <= _SMALL_BYTES


async def _peeked(response: Response, call: Call) -> AsyncIterator[bytes]:
    """The body; the model's version is read off its beginning."""
    head = b""
    async for chunk in response.chunks():
        if call.model_version is None and len(head) < _PEEK_BYTES:
            head += chunk[:_PEEK_BYTES]
            match = _MODEL_VERSION.search(head)
            call.model_version = match[1].decode() if match else None
        yield chunk
