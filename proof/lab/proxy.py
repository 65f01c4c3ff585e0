"""Start the proxy and read its log; issue tokens for it."""

import json
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pleura.local import token_issuer
from proof.lab.module_process import is_answering, start_module, wait_until
from proof.lab.service_key import KEY

AUDIENCE = "pleura"
Port = Callable[[], int]


@dataclass(frozen=True)
class Issuer:
    """A running local issuer and the folder of its keys."""

    url: str
    folder: Path

    def issue_token(self, subject: str = "somebody", scopes: Sequence[str] = token_issuer.SCOPES) -> str:
        """Issue a token that the proxy accepts."""
        return token_issuer.issue_token(self.folder, subject, scopes, 600, AUDIENCE, self.url)


@dataclass(frozen=True)
class Proxy:
    """A running proxy. ``log`` is the file of its log."""

    http_port: int
    grpc_port: int
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """The REST address of the proxy."""
        return f"http://127.0.0.1:{self.http_port}"


def exchange(port: int, data: bytes, timeout_s: float = 5.0) -> bytes:
    """Send raw bytes, and return what comes back until the server closes or is silent for 20 seconds."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        connection.sendall(data)
        # A server that keeps the connection open after its answer would hold this call for ever otherwise.
        connection.settimeout(20.0)
        try:
            # To the end, because an attack may draw two answers.
            while chunk := connection.recv(65536):
                received += chunk
        except (TimeoutError, ConnectionResetError):
            pass
    return received


def start_proxy(log: Path, free_port: Port, **settings: object) -> Proxy:
    """Start a proxy on this machine, and wait until it answers or has ended."""
    ports = free_port(), free_port()
    own = {"host": "127.0.0.1", "http_port": ports[0], "grpc_port": ports[1], "service_key": KEY}
    settings = {**own, **settings}
    environment = {f"PLEURA_{name.upper()}": str(value) for name, value in settings.items()}
    process = start_module("auth_proxy", environment, log)
    wait_until(lambda: process.poll() is not None or is_answering(ports[0]))
    return Proxy(*ports, log, process)


def read_log_lines(proxy: Proxy, request_id: str) -> list[dict[str, Any]]:
    """Read the lines that the proxy logged at the end of a request.

    The proxy sends the last byte of an answer before it writes the line, so this waits.
    """
    for _ in range(100):
        lines = [
            json.loads(line) for line in proxy.log.read_text().splitlines(keepends=True) if line[-1] == "\n"
        ]
        ended = [line for line in lines if line["event"] == "request_ended"]
        found = [line for line in ended if line["request_id"] == request_id]
        if found:
            break
        time.sleep(0.05)
    return found
