"""The first steps of every service: logging, settings, free ports, traces and metrics."""

import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NoReturn, TypeVar

import structlog

from pleura.observability.logs import configure_logging
from pleura.observability.metrics import configure_metrics
from pleura.observability.tracing import TracingUnavailable, export_spans
from pleura.settings import InvalidSettings, ServiceSettings

WRONG_SETTING: Final = 2
"""Exit code of a service that cannot start with its settings."""
S = TypeVar("S", bound=ServiceSettings)
log = structlog.get_logger()


def refuse_start(reason: str, exit_code: int = WRONG_SETTING) -> NoReturn:
    """Log one line that says why the service does not start, and exit."""
    log.error("start_refused", reason=reason)
    sys.exit(exit_code)


@contextmanager
def run_service(service: str, settings_class: type[S]) -> Iterator[S]:
    """Prepare a service to start, run the body, and send the last spans at its end.

    A wrong setting or a port that another program holds ends the process with one line and exit code 2.

    Args:
        service: The service's name in logs, metrics and traces.
        settings_class: The class that reads the service's environment.
    """
    # before the settings are read, so that an error of theirs is a log line too
    configure_logging(service)
    try:
        settings = settings_class.read()
    except InvalidSettings as error:
        refuse_start(str(error))
    configure_logging(service, settings.log_level)
    require_free_ports(settings.host, settings.ports())
    try:
        close_spans = export_spans(service)
    except TracingUnavailable as error:
        refuse_start(str(error))
    configure_metrics(service)
    if settings.trust_network:
        log.warning("network_trusted")
    try:
        yield settings
    finally:
        close_spans()


def require_free_ports(host: str, ports: Mapping[str, int]) -> None:
    """Refuse the start where another program listens on one of the ports, by the name of the setting."""
    for setting, port in ports.items():
        try:
            listen(host, port).close()
        except OSError as error:
            refuse_start(f"{setting}: cannot listen on {host}:{port}: {error.strerror}")


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket on an IPv4 or IPv6 address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=1024)
