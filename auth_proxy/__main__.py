"""The auth proxy: ``python -m auth_proxy``."""

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, NoReturn

import prometheus_client
import structlog
import uvicorn

from auth_proxy.app import Guards, build_app
from auth_proxy.grpc_proxy import build_server, open_channel
from auth_proxy.http_protocol import StrictProtocol
from auth_proxy.limits import InFlight, RateLimit
from auth_proxy.metrics import KEY_AGE
from auth_proxy.settings import Settings
from auth_proxy.tokens.authenticator import Authenticator
from auth_proxy.tokens.keys import HttpKeySource, KeyCache
from auth_proxy.tokens.verification import Trust
from auth_proxy.transformer_client import TransformerClient
from pleura.observability.logs import configure_logging
from pleura.observability.metrics import IN_FLIGHT, configure_metrics
from pleura.observability.tracing import TracingUnavailable, export_spans
from pleura.serving.health import HealthChecks
from pleura.serving.shutdown import HttpServer, Shutdown
from pleura.settings import InvalidSettings

_WRONG_SETTING: Final = 2
_GRACE_S: Final = 30
_MAX_CONNECTIONS: Final = 2048
log = structlog.get_logger()


def _stop(reason: str) -> NoReturn:
    log.error("start_refused", reason=reason)
    sys.exit(_WRONG_SETTING)


def _listen(name: str, host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        _stop(f"{name}: cannot listen on {host}:{port}: {error.strerror}")
    return listener


def _http_config(app: object) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=StrictProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_MAX_CONNECTIONS,
        timeout_keep_alive=65,
        timeout_graceful_shutdown=_GRACE_S,
    )


@dataclass(frozen=True)
class Listeners:
    """The sockets of REST and, where there are any, metrics."""

    http: socket.socket
    metrics: socket.socket | None

    @classmethod
    def of(cls, settings: Settings) -> "Listeners":
        """Listen; a port that another program has ends the process with one line that names it."""
        http = _listen("PLEURA_HTTP_PORT", settings.host, settings.http_port)
        if settings.metrics_port is None:
            return cls(http, None)
        return cls(http, _listen("PLEURA_METRICS_PORT", settings.host, settings.metrics_port))


@asynccontextmanager
async def _metrics_served(listener: socket.socket | None) -> AsyncIterator[None]:
    if listener is None:
        yield
        return
    server = HttpServer(_http_config(prometheus_client.make_asgi_app()))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = server.force_exit = True
        await serving


async def serve(settings: Settings, listeners: Listeners) -> None:
    """Serve REST and gRPC until SIGTERM or SIGINT, then let what is in flight end."""
    keys = KeyCache(HttpKeySource(str(settings.jwks_url)))
    trust = Trust(settings.issuer, settings.audience, settings.leeway_s)
    guards = Guards(
        Authenticator(keys, trust),
        RateLimit(settings.rate_per_s, settings.burst),
        InFlight(settings.max_in_flight, settings.patience_s),
        settings.max_body_bytes,
        settings.timeout_s,
    )
    upstream = TransformerClient(str(settings.transformer_url), settings.max_in_flight)
    channel = open_channel(settings.transformer_grpc, settings.max_body_bytes)
    freshness = asyncio.create_task(keys.keep_fresh())
    vitals = HealthChecks(alive={"keys": lambda: not freshness.done()})
    ending = Shutdown(settings.drain_s, _GRACE_S)
    http = HttpServer(_http_config(build_app(guards, upstream, vitals, ending)))
    IN_FLIGHT.set_function(lambda: guards.in_flight.now)
    KEY_AGE.set_function(lambda: keys.age_s)
    try:
        grpc = build_server(guards, channel, f"{settings.host}:{settings.grpc_port}")
    except RuntimeError:
        _stop(f"PLEURA_GRPC_PORT: cannot listen on {settings.host}:{settings.grpc_port}")
    ending.listen()
    await grpc.start()
    log.info("serving", http_port=settings.http_port, grpc_port=settings.grpc_port)
    async with _metrics_served(listeners.metrics):
        await asyncio.gather(http.serve(sockets=[listeners.http]), ending.stop(http, grpc))
    freshness.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await freshness
    upstream.close()
    await channel.close()


def main() -> None:
    """Read the settings and serve."""
    configure_logging("auth_proxy")
    try:
        settings = Settings.read()
    except InvalidSettings as error:
        _stop(str(error))
    logging.getLogger().setLevel(settings.log_level)
    logging.getLogger("python_multipart").setLevel("ERROR")  # it tells bytes of malformed bodies
    try:
        close_spans = export_spans("auth_proxy")
    except TracingUnavailable as error:
        _stop(str(error))
    configure_metrics("auth_proxy")
    listeners = Listeners.of(settings)
    config = _http_config(None)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        try:
            runner.run(serve(settings, listeners))
        finally:
            close_spans()


if __name__ == "__main__":
    main()
