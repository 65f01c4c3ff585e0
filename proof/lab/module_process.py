"""Run a module as a process of its own, and wait for it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx


def is_answering(port: int, path: str = "/healthz") -> bool:
    """Return whether a server answers on a port."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False).status_code < 500
    except httpx.HTTPError:
        return False


def wait_until(condition: Callable[[], bool], timeout_s: float = 120.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "the condition never held"
        time.sleep(0.05)


def start_module(module: str, environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a module as a process with these settings and no others."""
    # A setting of the developer's shell would make a test pass or fail elsewhere.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PLEURA_")}
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", module], env=inherited | environment, stdout=file, stderr=subprocess.STDOUT
        )


def stop_process(process: subprocess.Popen[bytes]) -> None:
    """Stop a process, and wait for its end."""
    process.terminate()
    # A service lets its requests end before it ends.
    process.wait(90)
