"""Start the model server of ``echo.py`` in a process of its own."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from pleura.local.processes import free_port


@dataclass(frozen=True)
class EchoServer:
    """A running server: the URL of REST, the address of gRPC, and the process."""

    http: str
    grpc: str
    process: subprocess.Popen[bytes]


def start_echo(drain_s: int = 0, key: str = "") -> EchoServer:
    """Start the server, and wait until it is ready. With a key it requires it."""
    ports = [free_port(), free_port()]
    script = Path(__file__).parent / "echo.py"
    command = [sys.executable, str(script), *map(str, ports), str(drain_s)]
    process = subprocess.Popen(command, cwd=script.parents[2], env=os.environ | {"ECHO_KEY": key})
    url = f"http://127.0.0.1:{ports[0]}"
    for _ in range(600):
        try:
            httpx.get(f"{url}/v2/health/ready").raise_for_status()
            break
        except httpx.TransportError:
            assert process.poll() is None
            time.sleep(0.1)
    return EchoServer(url, f"127.0.0.1:{ports[1]}", process)
