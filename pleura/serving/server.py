"""KServe's model server with our REST and gRPC servers.

kserve 0.21 answers some V2 requests wrongly (without id, with a version in the path, with binary BYTES, with
``{"detail"}``, with UNKNOWN over gRPC), and offers V1, load and unload to every caller. Our routes replace
its routes. Its model, registry and metrics stay.
"""

import asyncio
import gc
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

import structlog
import uvloop
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from pleura.allowed_hosts import AllowedHosts
from pleura.errors import PleuraError
from pleura.observability.metrics import READY
from pleura.service_key import ServiceKeys
from pleura.serving.grpc_server import GrpcServer
from pleura.serving.health import HealthChecks
from pleura.serving.http_protocol import JsonErrorsProtocol
from pleura.serving.kserve_import import ModelServer, RESTServer
from pleura.serving.metrics_app import show_metrics
from pleura.serving.model import Model
from pleura.serving.rest_server import RestServer, RouteSpec, to_v2_error
from pleura.serving.service_access import RequireService
from pleura.serving.shutdown import HttpServer, Shutdown

log = structlog.get_logger()


@dataclass(frozen=True)
class ServerOptions:
    """Where a model server listens, who may call it, and its limits."""

    host: str
    http_port: int
    grpc_port: int
    max_body_mb: int
    keys: ServiceKeys
    hosts: AllowedHosts
    drain_s: float = 0.0
    grace_period_s: int = 30

    @property
    def max_body_bytes(self) -> int:
        """The largest body of a request, in bytes."""
        return self.max_body_mb * 2**20


class _RestServer(RESTServer):  # type: ignore[misc]  # kserve has no types for its servers
    def __init__(
        self,
        server: ModelServer,
        model: Model,
        health: HealthChecks,
        options: ServerOptions,
        shutdown: Shutdown,
    ) -> None:
        super().__init__(
            "kserve.model_server:app",
            server.dataplane,
            server.model_repository_extension,
            options.http_port,
            grace_period=options.grace_period_s,
            timeout_keep_alive=server.timeout_keep_alive,
        )
        self.config.host, self.config.http = options.host, JsonErrorsProtocol
        self.http = self._server = HttpServer(self.config)
        self._access = Middleware(RequireService, options.keys, options.hosts)
        self.routes: Sequence[RouteSpec] = RestServer(
            model, health, options.max_body_bytes, shutdown
        ).routes()

    def create_application(self) -> None:
        """Replace kserve's FastAPI application by a Starlette application with our routes."""
        routes = [Route("/metrics", show_metrics)]
        routes += [Route(path, endpoint, methods=[verb]) for verb, path, endpoint in self.routes]
        # kserve's FastAPI application walks through seven layers for each request (docs/decisions/0022)
        app = Starlette(
            routes=routes,
            middleware=[self._access],
            exception_handlers=dict.fromkeys((PleuraError, HTTPException, Exception), to_v2_error),
        )
        app.router.redirect_slashes = False  # a path with a slash at its end is another path
        self.config.app = app


async def _run_or_exit(work: Awaitable[None]) -> None:
    """Run background work that requests need. If it fails, the process ends, so that it starts again."""
    try:
        await work
    except Exception as error:  # any: the process would seem alive and answer 503 for ever
        log.critical("background_failed", exc_info=error)
        raise SystemExit(1) from error


class KServeServer(ModelServer):  # type: ignore[misc]  # kserve has no types for its servers
    """kserve's model server with our REST and gRPC servers, bound to one host, with one worker process."""

    def __init__(self, options: ServerOptions) -> None:
        super().__init__(
            http_port=options.http_port,
            grpc_port=options.grpc_port,
            workers=1,  # with more, kserve loses our exception handlers (docs/decisions/0026)
            enable_grpc=False,
            enable_latency_logging=False,
            grace_period=options.grace_period_s,
        )
        self._options = options

    def serve(
        self,
        model: Model,
        background: Sequence[Awaitable[None]] = (),
        health: HealthChecks | None = None,
        routes: Sequence[RouteSpec] = (),
    ) -> None:
        """Serve one model until a signal ends it.

        Args:
            model: The model to serve.
            background: Work that runs on the servers' event loop until they end.
            health: The checks of ``/healthz`` and ``/readyz``.
            routes: Routes of this server in addition to those of V2.
        """
        health = health or HealthChecks()
        self._register_and_check_atleast_one_model_is_ready([model])
        options = self._options
        shutdown = Shutdown(options.drain_s, options.grace_period_s)
        READY.set_function(lambda: health.readiness()[0] and not shutdown.has_begun)
        rest = _RestServer(self, model, health, options, shutdown)
        rest.routes = (*rest.routes, *routes)
        address = f"{options.host}:{options.grpc_port}"
        grpc = GrpcServer(model, health, address, options.max_body_bytes, shutdown, options.keys)
        # kserve gives uvloop to uvicorn only, not to gRPC and the background work
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve_all(rest, grpc, shutdown, background))

    async def _serve_all(
        self, rest: _RestServer, grpc: GrpcServer, shutdown: Shutdown, background: Sequence[Awaitable[None]]
    ) -> None:
        self.setup_event_loop()
        shutdown.listen()
        # imported objects live as long as the process: to walk them held up a request for 110 ms
        # (docs/decisions/0022)
        gc.collect()
        gc.freeze()
        tasks = [asyncio.ensure_future(_run_or_exit(work)) for work in background]
        try:
            await asyncio.gather(rest.start(), grpc.start(), shutdown.stop(rest.http, grpc))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
