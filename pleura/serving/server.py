"""A KServe model server with our edge.

kserve 0.21 answers some V2 requests wrongly (no id, versions in the path, binary BYTES, ``{"detail"}``,
UNKNOWN over gRPC), and serves V1 and load/unload to anybody. Its routes are replaced by ours; its model,
registry and metrics stay.
"""

import asyncio
import gc
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

import structlog
import uvloop
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pleura.errors import PleuraError
from pleura.observability.metrics import READY
from pleura.serving.grpc_server import GrpcServer
from pleura.serving.health import HealthChecks
from pleura.serving.kserve_import import ModelServer, RESTServer, metrics_handler
from pleura.serving.model import Model
from pleura.serving.rest_server import RestServer, RouteSpec, to_v2_error
from pleura.serving.shutdown import HttpServer, Shutdown

log = structlog.get_logger()


@dataclass(frozen=True)
class ServerOptions:
    """Where a model server listens, and what it takes."""

    host: str
    http_port: int
    grpc_port: int
    max_body_mb: int
    drain_s: float = 0.0
    grace_period_s: int = 30

    @property
    def max_body_bytes(self) -> int:
        """The largest body of a request."""
        return self.max_body_mb * 2**20


class _RestServer(RESTServer):  # type: ignore[misc]  # kserve has no types for its servers
    def __init__(
        self,
        server: ModelServer,
        model: Model,
        vitals: HealthChecks,
        edge: ServerOptions,
        ending: Shutdown,
    ) -> None:
        super().__init__(
            "kserve.model_server:app",
            server.dataplane,
            server.model_repository_extension,
            edge.http_port,
            grace_period=edge.grace_period_s,
            timeout_keep_alive=server.timeout_keep_alive,
        )
        self.config.host, self.config.http = edge.host, HttpToolsProtocol
        self.http = self._server = HttpServer(self.config)
        self._edge = RestServer(model, vitals, edge.max_body_bytes, ending)
        self.more: Sequence[RouteSpec] = ()

    def create_application(self) -> None:
        """Put our routes in the place of kserve's application, whose layers of FastAPI they do without."""
        routes = [Route("/metrics", metrics_handler)]
        routes += [
            Route(path, endpoint, methods=[verb])
            for verb, path, endpoint in (*self._edge.routes(), *self.more)
        ]
        app = Starlette(
            routes=routes,
            exception_handlers=dict.fromkeys((PleuraError, HTTPException, Exception), to_v2_error),
        )
        app.router.redirect_slashes = False  # a path with a slash behind it is another path
        self.config.app = app


async def _or_end(work: Awaitable[None]) -> None:
    """Run what requests cannot do without; should it fail, the process ends, to be started anew."""
    try:
        await work
    except Exception as error:  # whatever it is: the process would answer 503 for ever, and seem alive
        log.critical("background_failed", exc_info=error)
        raise SystemExit(1) from error


class KServeServer(ModelServer):  # type: ignore[misc]  # kserve has no types for its servers
    """kserve's model server with our edge, bound to one host; one worker, as DESIGN.md says."""

    def __init__(self, edge: ServerOptions) -> None:
        super().__init__(
            http_port=edge.http_port,
            grpc_port=edge.grpc_port,
            workers=1,
            enable_grpc=False,
            enable_latency_logging=False,
            grace_period=edge.grace_period_s,
        )
        self._edge = edge

    def serve(
        self,
        model: Model,
        background: Sequence[Awaitable[None]] = (),
        vitals: HealthChecks | None = None,
        more: Sequence[RouteSpec] = (),
    ) -> None:
        """Serve one model until a signal ends it.

        Args:
            model: The model to serve.
            background: What runs beside the servers, on their event loop, until they end.
            vitals: What ``/healthz`` and ``/readyz`` look at.
            more: Routes that this server has beside those of V2.
        """
        vitals = vitals or HealthChecks()
        self._register_and_check_atleast_one_model_is_ready([model])
        edge = self._edge
        ending = Shutdown(edge.drain_s, edge.grace_period_s)
        READY.set_function(lambda: vitals.readiness()[0] and not ending.has_begun)
        rest = _RestServer(self, model, vitals, edge, ending)
        rest.more = more
        grpc = GrpcServer(model, vitals, f"{edge.host}:{edge.grpc_port}", edge.max_body_bytes, ending)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve_all(rest, grpc, ending, background))

    async def _serve_all(
        self, rest: _RestServer, grpc: GrpcServer, ending: Shutdown, background: Sequence[Awaitable[None]]
    ) -> None:
        self.setup_event_loop()
        ending.listen()
        # what was imported lives as long as the process: no collection need walk it, holding up requests
        gc.collect()
        gc.freeze()
        tasks = [asyncio.ensure_future(_or_end(each)) for each in background]
        try:
            await asyncio.gather(rest.start(), grpc.start(), ending.stop(rest.http, grpc))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
