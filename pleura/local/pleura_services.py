"""Pleura's own services as processes, each started by one function that waits until it answers."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

import pleura
from pleura.environment import set_variables
from pleura.local.clean_environment import inherit_settings
from pleura.local.processes import HOST, Command, Server, launch, require_free, wait_until

MODEL_READY: Final = "/v2/models/chest-xray/ready"


@dataclass(frozen=True)
class Service(Server):
    """A running service of Pleura; it answers REST at ``url`` and gRPC at ``grpc_address``."""

    grpc_address: str = ""


@dataclass(frozen=True)
class Ports:
    """The ports of a service."""

    http: int
    grpc: int


def build_service_environment() -> dict[str, str]:
    """Return the variables of every process of Pleura: inherited settings, and the path of this Pleura."""
    root = str(Path(pleura.__file__).parents[1])
    inherited = os.environ.get("PYTHONPATH")
    return {
        **inherit_settings(),
        "PYTHONPATH": f"{root}{os.pathsep}{inherited}" if inherited else root,
        "NO_PROXY": f"{HOST},localhost",
        "no_proxy": f"{HOST},localhost",
    }


def start_service(
    module: str, folder: Path, ports: Ports, environment: Mapping[str, str], ready_path: str = MODEL_READY
) -> Service:
    """Start ``python -m module`` and wait until a GET of ``ready_path`` succeeds.

    Args:
        module: The service's package.
        folder: Folder of its log.
        ports: Ports to listen on, at 127.0.0.1 only.
        environment: Its settings, without host and ports.
        ready_path: Path that answers with success once the service can do its work.
    """
    service = _launch_service(module, folder, ports, environment)
    with httpx.Client(base_url=service.url, timeout=2.0, trust_env=False) as client:
        wait_until(service, lambda: client.get(ready_path).is_success)
    return service


def _launch_service(module: str, folder: Path, ports: Ports, environment: Mapping[str, str]) -> Service:
    name = module.rpartition(".")[2]
    for port in {ports.http, ports.grpc}:  # the issuer has one port for both
        require_free(name, port)
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    own = {"PLEURA_HOST": HOST, "PLEURA_HTTP_PORT": str(ports.http), "PLEURA_GRPC_PORT": str(ports.grpc)}
    settings = build_service_environment()
    set_variables(settings, {**own, **environment})
    command = Command(name, [sys.executable, "-m", module], folder / f"{name}.log", settings, folder=folder)
    url = f"http://{HOST}:{ports.http}"
    return Service(name, url, command.log, launch(command), grpc_address=f"{HOST}:{ports.grpc}")


def start_predictor(
    folder: Path, ports: Ports, bundle: Path, key_settings: Mapping[str, str], threads: int | None = None
) -> Service:
    """Start the predictor on a bundle, and wait until it answers. ``key_settings`` name its service key."""
    return start_service("predictor", folder, ports, _predictor_settings(bundle, key_settings, threads))


def launch_predictor(
    folder: Path, ports: Ports, bundle: Path, key_settings: Mapping[str, str], threads: int | None = None
) -> Service:
    """Start the predictor on a bundle; it may not answer yet. ``key_settings`` name its service key."""
    return _launch_service("predictor", folder, ports, _predictor_settings(bundle, key_settings, threads))


def _predictor_settings(bundle: Path, key_settings: Mapping[str, str], threads: int | None) -> dict[str, str]:
    # the other two may be inherited, and would name another bundle
    own = {"PLEURA_BUNDLE": str(bundle.resolve()), "PLEURA_BUNDLE_URI": "", "PLEURA_BUNDLE_DIGEST": ""}
    settings = {**own, **key_settings}
    if threads:
        settings["PLEURA_THREADS"] = str(threads)
    return settings
