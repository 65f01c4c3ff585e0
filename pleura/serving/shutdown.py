"""Shutdown of a service: it reports that it is not ready, drains, and then closes REST and gRPC together.

A load balancer learns of the shutdown later than the process: Kubernetes sends SIGTERM while it withdraws the
endpoint. A server that closes at once refuses the requests of that time.
"""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

import structlog
import uvicorn

_CLOSE = (b"connection", b"close")
log = structlog.get_logger()


class Stoppable(Protocol):
    """A gRPC server."""

    async def stop(self, grace: float | None) -> None:
        """Take no more requests, and give those in flight ``grace`` seconds to end."""


class HttpServer(uvicorn.Server):
    """uvicorn without its signal handlers: ``Shutdown`` decides when it ends."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to ``Shutdown``."""
        # uvicorn took SIGTERM for itself, and gRPC drained only after REST (docs/decisions/0042)
        yield

    def close_connections(self) -> None:
        """Close each connection after its next response, so that callers connect elsewhere in time."""
        # uvicorn makes the second list from the first one about once a second
        self.config.encoded_headers = [*self.config.encoded_headers, _CLOSE]
        self.server_state.default_headers = [*self.server_state.default_headers, _CLOSE]


class Shutdown:
    """Shutdown of the process. SIGTERM or SIGINT begins it, and each further signal ends the current wait.

    Args:
        drain_s: Seconds in which the service still takes requests, after it reports that it is not ready.
        grace_s: Seconds that requests in flight then have to end.
    """

    def __init__(self, drain_s: float, grace_s: float) -> None:
        self._drain_s, self.grace_s = drain_s, grace_s
        self._begun, self._drained, self._forced = (asyncio.Event() for _ in range(3))
        self._force_task: asyncio.Task[None] | None = None

    @property
    def has_begun(self) -> bool:
        """Tell whether callers should send their requests elsewhere."""
        return self._begun.is_set()

    def listen(self) -> None:
        """Handle the signals, on the event loop that serves."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.begin)

    def begin(self) -> None:
        """Begin the shutdown. A second call ends the drain, a third call the grace time."""
        for step in (self._begun, self._drained, self._forced):
            if not step.is_set():
                step.set()
                return

    async def stop(self, http: HttpServer, grpc: Stoppable) -> None:
        """Wait until the shutdown begins, then drain and stop both servers."""
        await self._begun.wait()
        log.info("shutdown_started", drain_s=self._drain_s)
        http.close_connections()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._drain_s):
                await self._drained.wait()
        self._drained.set()
        http.should_exit = True
        # the task lives on while REST drains, and ends with the event loop
        self._force_task = asyncio.create_task(self._force(http, grpc))
        await grpc.stop(self.grace_s)

    async def _force(self, http: HttpServer, grpc: Stoppable) -> None:
        await self._forced.wait()
        http.force_exit = True
        await grpc.stop(0)
