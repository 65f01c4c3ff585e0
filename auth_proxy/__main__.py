"""The auth proxy: ``python -m auth_proxy``."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import structlog
import uvicorn

from auth_proxy.app import build_app
from auth_proxy.grpc_health import GrpcHealth
from auth_proxy.grpc_proxy import GrpcProxy, build_server, open_channel
from auth_proxy.guards import Guards
from auth_proxy.http_protocol import StrictProtocol
from auth_proxy.limits import InFlightLimit, RateLimit
from auth_proxy.metrics import KEY_AGE
from auth_proxy.readiness import Readiness
from auth_proxy.settings import AuthProxySettings
from auth_proxy.tokens.authenticator import Authenticator
from auth_proxy.transformer_client import TransformerClient
from auth_proxy.trusted_issuers import build_trusted_issuers
from pleura.allowed_hosts import AllowedHosts
from pleura.observability.metrics import IN_FLIGHT
from pleura.serving.health import HealthChecks
from pleura.serving.metrics_app import MetricsApp
from pleura.serving.shutdown import HttpServer, Shutdown
from pleura.serving.start import listen, run_service

_GRACE_S: Final = 30
_MAX_CONNECTIONS: Final = 2048
log = structlog.get_logger()


def _build_http_config(app: object) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=StrictProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,  # it would write paths and queries (docs/decisions/0031)
        proxy_headers=False,  # every caller can set X-Forwarded-For
        server_header=False,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_keep_alive=65,
        timeout_graceful_shutdown=_GRACE_S,
    )


@dataclass(frozen=True)
class Listeners:
    """The listening sockets of REST and of metrics, if metrics have a port."""

    http: socket.socket
    metrics: socket.socket | None

    @classmethod
    def open(cls, settings: AuthProxySettings) -> "Listeners":
        """Listen on the ports of the settings."""
        http = listen(settings.host, settings.http_port)
        if settings.metrics_port is None:
            return cls(http, None)
        return cls(http, listen(settings.host, settings.metrics_port))


@asynccontextmanager
async def _serve_metrics(listener: socket.socket | None, hosts: AllowedHosts) -> AsyncIterator[None]:
    """Serve ``/metrics`` during the ``async with`` block."""
    if listener is None:
        yield
        return
    server = HttpServer(_build_http_config(MetricsApp(hosts)))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = server.force_exit = True
        await serving


async def serve(settings: AuthProxySettings, listeners: Listeners) -> None:
    """Serve REST and gRPC until SIGTERM or SIGINT, then let the requests in flight end."""
    authenticator = Authenticator(build_trusted_issuers(settings))
    guards = Guards(
        authenticator,
        RateLimit(settings.rate_per_s, settings.burst),
        InFlightLimit(settings.max_in_flight, settings.patience_s),
        settings.max_body_bytes,
        settings.timeout_s,
    )
    transformer = TransformerClient(str(settings.transformer_url), settings.service_keys.headers)
    channel = open_channel(settings.transformer_grpc, settings.max_body_bytes)
    refresh = asyncio.create_task(authenticator.refresh_forever())
    health = HealthChecks(alive={"keys": lambda: not refresh.done()})
    shutdown = Shutdown(settings.drain_s, _GRACE_S)
    readiness = Readiness(authenticator, transformer, shutdown)
    app = build_app(
        guards, transformer, health, readiness, frozenset(settings.cors_origins), settings.public_hosts
    )
    http = HttpServer(_build_http_config(app))
    IN_FLIGHT.set_function(lambda: guards.in_flight.in_flight)
    KEY_AGE.set_function(lambda: authenticator.age_s)
    proxy = GrpcProxy(guards, channel, GrpcHealth(health, readiness), settings.service_keys.headers)
    grpc = build_server(proxy, settings.max_body_bytes, f"{settings.host}:{settings.grpc_port}")
    shutdown.listen()
    await grpc.start()
    log.info("serving", http_port=settings.http_port, grpc_port=settings.grpc_port)
    async with _serve_metrics(listeners.metrics, settings.hosts):
        await asyncio.gather(http.serve(sockets=[listeners.http]), shutdown.stop(http, grpc))
    refresh.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await refresh
    await transformer.close()
    await channel.close()


def main() -> None:
    """Start the auth proxy."""
    with run_service("auth_proxy", AuthProxySettings) as settings:
        listeners = Listeners.open(settings)
        with asyncio.Runner(loop_factory=_build_http_config(None).get_loop_factory()) as runner:
            runner.run(serve(settings, listeners))


if __name__ == "__main__":
    main()
