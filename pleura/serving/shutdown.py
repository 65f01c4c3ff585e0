"""How a service ends: it says that it is not ready and goes on answering; then REST and gRPC drain at once.

Whoever balances the load learns of an end later than the process does: Kubernetes sends SIGTERM while it
withdraws the endpoint. A server that closed at once would refuse what is still sent to it.
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
        """Take nothing more, and let what is in flight end within so many seconds."""


class HttpServer(uvicorn.Server):
    """uvicorn, told from outside when to end: by itself it would take the signals, and end alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to ``Ending``."""
        yield

    def close_connections(self) -> None:
        """Have every further answer close its connection, so that callers go elsewhere before we are gone."""
        headers = [*self.config.encoded_headers, _CLOSE]
        self.config.encoded_headers = headers
        self.server_state.default_headers = [*self.server_state.default_headers, _CLOSE]


class Shutdown:
    """The end of one process: begun by SIGTERM or SIGINT; each further one ends what is waited for.

    Args:
        drain_s: Seconds for which requests are still taken after readiness has been withdrawn.
        grace_s: Seconds that what is in flight then has to end.
    """

    def __init__(self, drain_s: float, grace_s: float) -> None:
        self._drain_s, self.grace_s = drain_s, grace_s
        self._begun, self._drained, self._forced = (asyncio.Event() for _ in range(3))
        self._forcing: asyncio.Task[None] | None = None

    @property
    def has_begun(self) -> bool:
        """Whether nobody should begin to send requests here."""
        return self._begun.is_set()

    def listen(self) -> None:
        """Take the signals; called on the event loop that serves."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.begin)

    def begin(self) -> None:
        """Begin the end; called again, end the drain, and then the grace of what is in flight."""
        for step in (self._begun, self._drained, self._forced):
            if not step.is_set():
                step.set()
                return

    async def stop(self, http: HttpServer, grpc: Stoppable) -> None:
        """Wait for the end to begin, then drain both servers."""
        await self._begun.wait()
        log.info("ending", drain_s=self._drain_s)
        http.close_connections()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._drain_s):
                await self._drained.wait()
        self._drained.set()
        http.should_exit = True
        # it lives on while REST drains, and ends with the event loop
        self._forcing = asyncio.create_task(self._force(http, grpc))
        await grpc.stop(self.grace_s)

    async def _force(self, http: HttpServer, grpc: Stoppable) -> None:
        await self._forced.wait()
        http.force_exit = True
        await grpc.stop(0)
