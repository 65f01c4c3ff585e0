"""One request on its way through the middleware, and its body: bounded, timed, read once."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from starlette.types import Message, Receive, Scope

from auth_proxy.allow_list import Route
from auth_proxy.request_headers import new_request_id
from pleura.deadline import Deadline
from pleura.errors import PleuraError, TooLarge
from pleura.observability.tracing import Span, begin_span

_KEY: Final = "pleura.call"
_IDLE_TIMEOUT_S: Final = 10.0


class SlowRequest(PleuraError):
    """The caller takes too long to send the body."""

    status = 408
    code = "slow_request"


class ClientGone(Exception):
    """The caller has closed the connection: nobody is left to answer."""


@dataclass
class Call:
    """What is known of a request so far; each middleware adds its part, the audit line reads them."""

    request_id: str = field(default_factory=new_request_id)
    headers: dict[str, str] = field(default_factory=dict)
    route: Route | None = None
    principal: str | None = None
    deadline: Deadline | None = None
    body_end: asyncio.Event = field(default_factory=asyncio.Event)
    body_ended_s: float | None = None
    bytes_in: int = 0
    model_version: str | None = None
    model_digest: str | None = None
    status: int | None = None
    bytes_out: int = 0
    outcome: str = "answered"
    started_s: float = field(default_factory=time.perf_counter)

    @cached_property
    def span(self) -> Span:
        """Our part of the caller's trace; begun when headers and route are known, if ever they are."""
        return begin_span(self.headers, is_recorded=self.route is None or self.route.scope is not None)

    @property
    def body_is_complete(self) -> bool:
        """Whether nothing more of the request is to come."""
        return self.body_end.is_set()

    def end_body(self) -> None:
        """Note that the request has arrived to its end."""
        self.body_end.set()
        self.body_ended_s = time.monotonic()


def begin_call(scope: Scope) -> Call:
    """Begin to know a request."""
    call = Call()
    scope[_KEY] = call
    return call


def call_of(scope: Scope) -> Call:
    """What is known of the request."""
    call: Call = scope[_KEY]
    return call


def bounded(receive: Receive, call: Call, max_bytes: int) -> Receive:
    """Count what arrives, and stop waiting for a body that does not.

    The result raises:
        TooLarge: The body exceeds its limit.
        SlowRequest: Nothing arrives for too long.
    """

    async def receive_bounded() -> Message:
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

    return receive_bounded


async def chunks_of(receive: Receive) -> AsyncIterator[bytes]:
    """Give the body as it arrives.

    Raises:
        ClientGone: The caller has closed the connection before the end.
    """
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body", False):
            return


async def read_body(receive: Receive, max_bytes: int) -> bytes:
    """Read a small body as a whole.

    Raises:
        TooLarge: It is not small.
        ClientGone: The caller has closed the connection before the end.
    """
    body = b""
    async for chunk in chunks_of(receive):
        body += chunk
        if len(body) > max_bytes:
            raise TooLarge(f"the body exceeds {max_bytes} bytes")
    return body


@asynccontextmanager
async def while_connected(receive: Receive, call: Call) -> AsyncIterator[None]:
    """Give up what is done for a caller who has gone.

    Raises:
        ClientGone: The caller has closed the connection.
    """
    task, is_gone = asyncio.current_task(), False

    async def watch() -> None:
        nonlocal is_gone
        await call.body_end.wait()
        while (await receive())["type"] != "http.disconnect":
            pass
        is_gone = True
        if task is not None:
            task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if not is_gone:
            raise
        if task is not None:
            task.uncancel()
        raise ClientGone from None
    finally:
        watcher.cancel()
