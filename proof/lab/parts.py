"""The parts of a stack put together by hand, where a campaign replaces some of them itself."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pleura.local.access import AUDIENCE, BUCKET, make_token
from pleura.local.dependencies import start_postgres, start_seaweed, start_valkey
from pleura.local.object_store import build_store_client
from pleura.local.pleura_services import Ports, Service, start_service
from pleura.local.processes import HOST, Server, free_port

_KEYS: Final = ("proof-access", "proof-secret-key")


@dataclass(frozen=True)
class DependencyServers:
    """The servers that are not restarted."""

    postgres: Server
    valkey: Server
    seaweed: Server
    keys: tuple[str, str]

    @classmethod
    def start(cls, folder: Path, running: ExitStack, keys: tuple[str, str] = _KEYS) -> "DependencyServers":
        """Start them; they stop with ``running``."""

        def keep(server: Server) -> Server:
            running.callback(server.stop)
            return server

        return cls(
            keep(start_postgres(folder / "postgres", free_port())),
            keep(start_valkey(folder / "valkey", free_port())),
            keep(start_seaweed(folder / "seaweed", free_port(), *keys)),
            keys,
        )


@dataclass(frozen=True)
class ServiceEnvironment:
    """What the restarted services stand on."""

    folder: Path
    bundle: Path
    store: Mapping[str, str]
    transformer: Mapping[str, str]
    envoy_port: int

    @classmethod
    def on(cls, folder: Path, bundle: Path, servers: DependencyServers) -> "ServiceEnvironment":
        """The ground that running servers make; Envoy is to listen on ``envoy_port``."""
        envoy_port, (access_key, secret_key) = free_port(), servers.keys
        client = build_store_client(servers.seaweed.url, access_key, secret_key)
        if not client.bucket_exists(BUCKET):
            client.make_bucket(BUCKET)
        environment = {
            "PLEURA_PREDICTOR_ADDRESS": f"{HOST}:{envoy_port}",
            "PLEURA_S3_URL": servers.seaweed.url,
            "PLEURA_S3_ACCESS_KEY": access_key,
            "PLEURA_S3_SECRET_KEY": secret_key,
            "PLEURA_REDIS_URL": servers.valkey.url,
            "PLEURA_JOURNAL_DSN": servers.postgres.url,
            "PLEURA_SPOOL_FOLDER": str(folder / "spool"),
        }
        store = {"url": servers.seaweed.url, "access_key": access_key, "secret_key": secret_key}
        return cls(folder, bundle.resolve(), store, environment, envoy_port)


def start_proxy_and_issuer(
    ground: ServiceEnvironment, rest_port: int, grpc_port: int, running: ExitStack
) -> tuple[Service, str]:
    """Start issuer and proxy; give the proxy, and a token."""
    folder, port = ground.folder / "issuer", free_port()
    issuer = f"http://{HOST}:{port}"
    environment = {"PLEURA_ISSUER_FOLDER": str(folder), "PLEURA_ISSUER": issuer}
    keys = start_service("pleura.local.token_issuer", folder, Ports(port, port), environment, "/jwks.json")
    running.callback(keys.stop)
    environment = {
        "PLEURA_TRANSFORMER_URL": f"http://{HOST}:{rest_port}",
        "PLEURA_TRANSFORMER_GRPC": f"{HOST}:{grpc_port}",
        "PLEURA_ISSUER": issuer,
        "PLEURA_AUDIENCE": AUDIENCE,
        "PLEURA_JWKS_URL": f"{issuer}/jwks.json",
        "PLEURA_RATE_PER_S": "2000",
        "PLEURA_BURST": "2000",
    }
    ports = Ports(free_port(), free_port())
    proxy = start_service("auth_proxy", ground.folder / "auth_proxy", ports, environment, "/readyz")
    running.callback(proxy.stop)
    return proxy, make_token(ground.folder, issuer)
