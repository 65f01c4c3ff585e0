"""Start the parts of a stack one by one, for campaigns that replace some of them."""

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
from proof.lab.service_key import KEY_ONLY
from proof.lab.stack import SYNTHETIC_PICTURES

_KEYS: Final = ("proof-access", "proof-secret-key")


@dataclass(frozen=True)
class DependencyServers:
    """Running PostgreSQL, Valkey and SeaweedFS. No campaign restarts them."""

    postgres: Server
    valkey: Server
    seaweed: Server
    keys: tuple[str, str]

    @classmethod
    def start(cls, folder: Path, running: ExitStack, keys: tuple[str, str] = _KEYS) -> "DependencyServers":
        """Start the servers. They stop when ``running`` closes."""

        def stop_at_end(server: Server) -> Server:
            running.callback(server.stop)
            return server

        return cls(
            stop_at_end(start_postgres(folder / "postgres", free_port())),
            stop_at_end(start_valkey(folder / "valkey", free_port())),
            stop_at_end(start_seaweed(folder / "seaweed", free_port(), *keys)),
            keys,
        )


@dataclass(frozen=True)
class ServiceEnvironment:
    """What the restarted services need: a bundle, an object store and the transformer's settings."""

    folder: Path
    bundle: Path
    store: Mapping[str, str]
    transformer: Mapping[str, str]
    envoy_port: int

    @classmethod
    def prepare(cls, folder: Path, bundle: Path, servers: DependencyServers) -> "ServiceEnvironment":
        """Create the bucket, and point the transformer's settings to the running servers."""
        envoy_port, (access_key, secret_key) = free_port(), servers.keys
        client = build_store_client(servers.seaweed.url, access_key, secret_key)
        if not client.bucket_exists(BUCKET):
            client.make_bucket(BUCKET)
        transformer = {
            "PLEURA_PREDICTOR_ADDRESS": f"{HOST}:{envoy_port}",
            "PLEURA_S3_URL": servers.seaweed.url,
            "PLEURA_S3_ACCESS_KEY": access_key,
            "PLEURA_S3_SECRET_KEY": secret_key,
            "PLEURA_REDIS_URL": servers.valkey.url,
            "PLEURA_JOURNAL_DSN": servers.postgres.url,
            "PLEURA_SPOOL_FOLDER": str(folder / "spool"),
            **KEY_ONLY,
            **SYNTHETIC_PICTURES,
        }
        store = {"url": servers.seaweed.url, "access_key": access_key, "secret_key": secret_key}
        return cls(folder, bundle.resolve(), store, transformer, envoy_port)


def start_proxy_and_issuer(
    environment: ServiceEnvironment, rest_port: int, grpc_port: int, running: ExitStack
) -> tuple[Service, str]:
    """Start the token issuer and the proxy. Return the proxy and a token."""
    folder, port = environment.folder / "issuer", free_port()
    issuer_url = f"http://{HOST}:{port}"
    settings = {"PLEURA_ISSUER_FOLDER": str(folder), "PLEURA_ISSUER": issuer_url}
    issuer = start_service("pleura.local.token_issuer", folder, Ports(port, port), settings, "/jwks.json")
    running.callback(issuer.stop)
    settings = {
        "PLEURA_TRANSFORMER_URL": f"http://{HOST}:{rest_port}",
        "PLEURA_TRANSFORMER_GRPC": f"{HOST}:{grpc_port}",
        "PLEURA_ISSUER": issuer_url,
        "PLEURA_AUDIENCE": AUDIENCE,
        "PLEURA_JWKS_URL": f"{issuer_url}/jwks.json",
        # Wide limits: no request of a campaign may be refused for its rate.
        "PLEURA_RATE_PER_S": "2000",
        "PLEURA_BURST": "2000",
        **KEY_ONLY,
    }
    ports = Ports(free_port(), free_port())
    proxy = start_service("auth_proxy", environment.folder / "auth_proxy", ports, settings, "/readyz")
    running.callback(proxy.stop)
    return proxy, make_token(environment.folder, issuer_url)
