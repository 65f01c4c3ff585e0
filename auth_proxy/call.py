"""One request on its way through the proxy: what the middleware has found out about it so far."""

import asyncio
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from starlette.types import Scope

from auth_proxy.allow_list import Route
from pleura.deadline import Deadline
from pleura.observability.tracing import Span, begin_span
from pleura.request_id import new_request_id

_SCOPE_KEY: Final = "pleura.call"


@dataclass
class Call:
    """One request. Each middleware adds its part, and the request log writes them down at the end."""

    request_id: str = field(default_factory=new_request_id)
    headers: dict[str, str] = field(default_factory=dict)
    route: Route | None = None
    principal: str | None = None
    scopes: frozenset[str] = frozenset()
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
        """The proxy's part of the caller's trace. Read it when headers and route are known."""
        # probes ask routes without a scope, and no trace should show them
        return begin_span(self.headers, is_recorded=self.route is None or self.route.scope is not None)

    @property
    def body_is_complete(self) -> bool:
        """Whether the whole request has arrived."""
        return self.body_end.is_set()

    def end_body(self) -> None:
        """Note that the whole request has arrived."""
        self.body_end.set()
        self.body_ended_s = time.monotonic()


def attach_call(scope: Scope) -> Call:
    """Attach a new Call to the ASGI scope."""
    call = Call()
    scope[_SCOPE_KEY] = call
    return call


def get_call(scope: Scope) -> Call:
    """Return the Call of the ASGI scope."""
    call: Call = scope[_SCOPE_KEY]
    return call
