"""Read the body of a request: limited in size, limited in time, and only while the caller is connected."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.types import Message, Receive

from auth_proxy.call import Call
from pleura.errors import PleuraError, TooLarge

_IDLE_TIMEOUT_S: Final = 10.0


class SlowRequest(PleuraError):
    """The caller takes too long to send the body."""

    status = 408
    code = "slow_request"


class ClientDisconnected(Exception):
    """The caller has closed the connection, so nobody waits for the answer."""


def limit_body(receive: Receive, call: Call, max_bytes: int) -> Receive:
    """Wrap ``receive``: count the bytes of the body, and limit the time until the next ones.

    The wrapped ``receive`` raises:
        TooLarge: The body exceeds ``max_bytes``.
        SlowRequest: No bytes arrive for too long.
    """

    async def receive_limited() -> Message:
        if call.body_is_complete:
            return await receive()
        try:
            async with asyncio.timeout(_IDLE_TIMEOUT_S):
                message = await receive()
        except TimeoutError as error:
            raise SlowRequest("the body did not arrive in time") from error
        call.bytes_in += len(message.get("body", b""))
        if not message.get("more_body", False):
            call.end_body()
        if call.bytes_in > max_bytes:
            raise TooLarge(f"the body exceeds {max_bytes} bytes")
        return message

    return receive_limited


async def stream_body(receive: Receive) -> AsyncIterator[bytes]:
    """Yield the body piece by piece as it arrives.

    Raises:
        ClientDisconnected: The caller closed the connection before the end.
    """
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body", False):
            return


async def read_body(receive: Receive, max_bytes: int) -> bytes:
    """Read a small body as a whole.

    Raises:
        TooLarge: The body exceeds ``max_bytes``.
        ClientDisconnected: The caller closed the connection before the end.
    """
    body = b""
    async for chunk in stream_body(receive):
        body += chunk
        if len(body) > max_bytes:
            raise TooLarge(f"the body exceeds {max_bytes} bytes")
    return body


@asynccontextmanager
async def cancel_on_disconnect(receive: Receive, call: Call) -> AsyncIterator[None]:
    """Cancel the work in the ``async with`` block when the caller closes the connection.

    Raises:
        ClientDisconnected: The caller closed the connection.
    """
    task, is_disconnected = asyncio.current_task(), False

    async def watch_connection() -> None:
        nonlocal is_disconnected
        # two readers would take each other's parts of the body
        await call.body_end.wait()
        while (await receive())["type"] != "http.disconnect":
            pass
        is_disconnected = True
        if task is not None:
            task.cancel()

    watcher = asyncio.create_task(watch_connection())
    try:
        yield
    except asyncio.CancelledError:
        if not is_disconnected:
            raise
        if task is not None:
            # a cancellation that stays counted would mislead asyncio.timeout around this block
            task.uncancel()
        raise ClientDisconnected from None
    finally:
        watcher.cancel()
