"""The stack of one machine: its parts, how each part starts, and the addresses that they use."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from pleura.bundle import SEAL_FILE, InvalidBundle
from pleura.local.access import BUCKET, build_issuer_settings, make_token
from pleura.local.default_bundle import choose_bundle_folder, make_bundle
from pleura.local.dependencies import (
    WeightedUpstream,
    start_envoy,
    start_postgres,
    start_seaweed,
    start_valkey,
)
from pleura.local.dependencies.envoy import write_upstreams
from pleura.local.dependencies.external import require_postgres, require_redis, require_store
from pleura.local.first_answer import require_answer
from pleura.local.object_store import build_store_client, upload_files
from pleura.local.parts import Part
from pleura.local.pleura_services import Ports, Service, launch_predictor, start_predictor, start_service
from pleura.local.private_files import read_or_make_secret
from pleura.local.processes import HOST, Server, StartFailed, require_free
from pleura.local.revision_files import (
    InvalidRevisions,
    PredictorRevision,
    read_wanted_revisions,
    require_digest,
)
from pleura.local.samples import find_samples
from pleura.local.stack_options import StackOptions, StoreAddress
from pleura.local.state_folder import ProcessId, StackRecord, StateFolder

_INNER_PORTS: Final = (
    "postgres",
    "valkey",
    "seaweed",
    "predictor_http",
    "predictor_grpc",
    "canary_http",
    "canary_grpc",
    "envoy",
    "issuer",
    "auth_proxy_metrics",
    "transformer_http",
    "transformer_grpc",
)
_METRICS_PORTS: Final = {
    "predictor": "predictor_http",
    "transformer": "transformer_http",
    "auth_proxy": "auth_proxy_metrics",
}
_SERVING_PARTS: Final = ("samples", "auth_proxy", "transformer", "predictor", "envoy")


class LocalStack:
    """The parts of one stack; its state folder keeps their ports and keys."""

    def __init__(self, options: StackOptions) -> None:
        self._options, self.folder = options, options.state.resolve()
        self._revision = _read_wanted_revision(self.folder)
        state = StateFolder(self.folder)
        self._ports = state.choose_inner_ports(_INNER_PORTS)
        seaweed = StoreAddress(f"http://{HOST}:{self._ports['seaweed']}", *state.read_store_keys())
        self._store = options.store or seaweed
        self._pseudonym_key = state.read_pseudonym_key()
        # an embedded server has a password once it has started
        self._redis, self._postgres = options.redis or "", options.postgres or ""
        self.issuer = f"http://{HOST}:{self._ports['issuer']}"
        self._upstreams = [WeightedUpstream("stable", self._ports["predictor_grpc"], 100)]
        self.address = f"http://{HOST}:{options.port}"
        self.grpc_address = f"{HOST}:{options.grpc_port}"

    def require_ports(self) -> None:
        """Require that the ports for callers are free.

        Raises:
            StartFailed: Another program uses a port.
        """
        for flag, port in (("--port", self._options.port), ("--grpc-port", self._options.grpc_port)):
            try:
                require_free("auth_proxy", port)
            except StartFailed as error:
                raise StartFailed(f"{error}; choose another with {flag}") from error

    def parts(self) -> Sequence[Part]:
        """Return all parts, each after the parts that it needs."""
        return (
            Part("postgres", self._start_postgres),
            Part("valkey", self._start_valkey),
            Part("seaweed", self._start_seaweed),
            Part("bundle", self._make_bundle),
            Part("issuer", self._start_issuer),
            Part("predictor", self._start_predictor, ("bundle",)),
            Part("envoy", self._start_envoy),
            Part("transformer", self._start_transformer, ("postgres", "valkey", "bundle")),
            Part("auth_proxy", self._start_auth_proxy, ("issuer", "bundle")),
            Part("samples", self._upload_samples, ("seaweed",)),
            Part("first answer", self._require_answer, _SERVING_PARTS),
        )

    @property
    def stable(self) -> PredictorRevision:
        """The revision that the part ``predictor`` serves; readable once its bundle exists."""
        if self._revision is None:
            digest = (self._bundle_folder() / SEAL_FILE).read_text().split()[0]
            self._revision = PredictorRevision(
                name="stable", bundle=self._bundle_folder(), digest=digest, weight=100
            )
        return self._revision

    @property
    def _key_settings(self) -> Mapping[str, str]:
        """Settings of the service key, made at the first start; as a file it is in no environment."""
        path = self.folder / "service_key"
        read_or_make_secret(path)
        return {"PLEURA_SERVICE_KEY_FILE": str(path), "PLEURA_TRUST_NETWORK": "false"}

    @property
    def stable_ports(self) -> Ports:
        """Ports of the part ``predictor``."""
        return Ports(self._ports["predictor_http"], self._ports["predictor_grpc"])

    @property
    def canary_ports(self) -> Ports:
        """Ports of a canary."""
        return Ports(self._ports["canary_http"], self._ports["canary_grpc"])

    def serve_stable(self, revision: PredictorRevision) -> None:
        """Serve this revision from the next start of the part ``predictor``."""
        self._revision = revision

    def launch_canary(self, bundle: Path) -> Service:
        """Start a predictor in the canary slot; it may not answer yet."""
        folder, ports = self.folder / "canary", self.canary_ports
        return launch_predictor(folder, ports, bundle, self._key_settings, self._options.threads)

    def split_traffic(self, upstreams: Sequence[WeightedUpstream]) -> None:
        """Send each predictor its share of the traffic; a restarted Envoy keeps the split."""
        if list(upstreams) != self._upstreams:
            self._upstreams = list(upstreams)
            write_upstreams(self.folder / "envoy", upstreams)

    def describe(self) -> StackRecord:
        """Return the record of this stack before its parts start."""
        return StackRecord(
            phase="starting",
            supervisor=ProcessId.current(),
            address=self.address,
            grpc_address=self.grpc_address,
            issuer=self.issuer,
            store=asdict(self._store),
            metrics={
                name: f"http://{HOST}:{self._ports[port]}/metrics" for name, port in _METRICS_PORTS.items()
            },
        )

    def _start_postgres(self) -> Server | None:
        if self._options.postgres:
            require_postgres(self._postgres)
            return None
        server = start_postgres(self.folder / "postgres", self._ports["postgres"])
        self._postgres = server.url
        return server

    def _start_valkey(self) -> Server | None:
        if self._options.redis is not None:
            if self._redis:
                require_redis(self._redis)
            return None
        server = start_valkey(self.folder / "valkey", self._ports["valkey"])
        self._redis = server.url
        return server

    def _start_seaweed(self) -> Server | None:
        store = self._store
        if self._options.store:
            require_store(store.url, store.access_key, store.secret_key, BUCKET)
            return None
        folder, port = self.folder / "seaweed", self._ports["seaweed"]
        return start_seaweed(folder, port, store.access_key, store.secret_key)

    def _upload_samples(self) -> None:
        store = self._store
        client = build_store_client(store.url, store.access_key, store.secret_key, timeout_s=20.0)
        upload_files(client, BUCKET, find_samples())

    def _make_bundle(self) -> None:
        revision = self._revision
        if revision is None:
            make_bundle(self._bundle_folder(), self.folder / "bundle.log")
            return
        try:
            require_digest(revision.bundle, revision.digest)
        except InvalidBundle as error:
            raise StartFailed(f"bundle: revision {revision.name} cannot be served: {error}") from error

    def _bundle_folder(self) -> Path:
        if self._revision:
            return self._revision.bundle
        return choose_bundle_folder(self._options.bundle, self.folder / "bundles")

    def _start_predictor(self) -> Service:
        folder = self.folder / "predictor"
        bundle = self._bundle_folder()
        return start_predictor(folder, self.stable_ports, bundle, self._key_settings, self._options.threads)

    def _start_envoy(self) -> Server:
        return start_envoy(self.folder / "envoy", self._ports["envoy"], self._upstreams)

    def _start_issuer(self) -> Service:
        folder, port = self.folder / "issuer", self._ports["issuer"]
        environment = {"PLEURA_ISSUER_FOLDER": str(folder), "PLEURA_ISSUER": self.issuer}
        return start_service(
            "pleura.local.token_issuer", folder, Ports(port, port), environment, "/jwks.json"
        )

    def _start_transformer(self) -> Service:
        folder = self.folder / "transformer"
        environment = {
            "PLEURA_PREDICTOR_ADDRESS": f"{HOST}:{self._ports['envoy']}",  # it splits the traffic
            "PLEURA_S3_URL": self._store.url,
            "PLEURA_S3_ACCESS_KEY": self._store.access_key,
            "PLEURA_S3_SECRET_KEY": self._store.secret_key,
            "PLEURA_S3_BUCKET": BUCKET,
            "PLEURA_REDIS_URL": self._redis,
            "PLEURA_CACHE_KEY": read_or_make_secret(self.folder / "cache_key"),
            "PLEURA_JOURNAL_DSN": self._postgres,
            "PLEURA_SPOOL_FOLDER": str(folder / "spool"),
            "PLEURA_PSEUDONYM_KEY": self._pseudonym_key,
            **self._key_settings,
        }
        ports = Ports(self._ports["transformer_http"], self._ports["transformer_grpc"])
        return start_service("transformer", folder, ports, environment)

    def _start_auth_proxy(self) -> Service:
        environment = {
            "PLEURA_METRICS_PORT": str(self._ports["auth_proxy_metrics"]),
            "PLEURA_TRANSFORMER_URL": f"http://{HOST}:{self._ports['transformer_http']}",
            "PLEURA_TRANSFORMER_GRPC": f"{HOST}:{self._ports['transformer_grpc']}",
            **build_issuer_settings(self.issuer, self._options.issuer),
            "PLEURA_RATE_PER_S": "2000",  # on one machine there is one principal: no other needs a share
            "PLEURA_BURST": "2000",
            # a page in the user's browser must not reach it by another name
            "PLEURA_ALLOWED_HOSTS": os.environ.get("PLEURA_ALLOWED_HOSTS") or "localhost",
            **self._key_settings,
        }
        ports = Ports(self._options.port, self._options.grpc_port)
        return start_service("auth_proxy", self.folder / "auth_proxy", ports, environment, "/readyz")

    def _require_answer(self) -> None:
        require_answer(self.address, make_token(self.folder, self.issuer))


def _read_wanted_revision(folder: Path) -> PredictorRevision | None:
    """Read which revision has most of the traffic; None where there is no ``revisions.json``."""
    try:
        wanted, _ = read_wanted_revisions(folder)
    except InvalidRevisions as error:
        raise StartFailed(f"bundle: {error}") from error
    return wanted.heaviest if wanted else None
