"""The stack of one machine: which parts it has, how each is started, and how they find each other."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from pleura.bundle import SEAL_FILE, InvalidBundle
from pleura.local.access import AUDIENCE, BUCKET, make_token
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
from pleura.local.object_store import build_store_client, upload_files
from pleura.local.parts import RESTARTS, Part
from pleura.local.pleura_services import Ports, Service, launch_predictor, start_predictor, start_service
from pleura.local.processes import HOST, START_TIMEOUT_S, Server, StartFailed, require_free
from pleura.local.revision_files import (
    InvalidRevisions,
    PredictorRevision,
    read_wanted_revisions,
    require_digest,
)
from pleura.local.samples import choose_sample, find_samples
from pleura.local.state_folder import ProcessId, StackRecord, StateFolder

_INNER: Final = (
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
_METRICS: Final = {
    "predictor": "predictor_http",
    "transformer": "transformer_http",
    "auth_proxy": "auth_proxy_metrics",
}


@dataclass(frozen=True)
class StoreAddress:
    """An S3 server and its keys."""

    url: str
    access_key: str
    secret_key: str


@dataclass(frozen=True)
class StackOptions:
    """What ``pleura up`` was asked for; None stands for an embedded part, an empty ``redis`` for no cache."""

    state: Path
    port: int = 8000
    grpc_port: int = 8001
    bundle: Path | None = None
    store: StoreAddress | None = None
    redis: str | None = None
    postgres: str | None = None
    threads: int | None = None
    restarts: int = RESTARTS


class LocalStack:
    """The parts of one stack; ports and keys are those of its state folder."""

    def __init__(self, options: StackOptions) -> None:
        self._options, self._folder = options, options.state.resolve()
        self._revision = _wanted_revision(self._folder)
        state = StateFolder(self._folder)
        self._ports = state.inner_ports(_INNER)
        seaweed = StoreAddress(f"http://{HOST}:{self._ports['seaweed']}", *state.store_keys())
        self._store = options.store or seaweed
        embedded = f"redis://{HOST}:{self._ports['valkey']}/0"
        self._redis = embedded if options.redis is None else options.redis
        self._postgres = options.postgres or ""  # the embedded one has its password when it has started
        self.issuer = f"http://{HOST}:{self._ports['issuer']}"
        self._upstreams = [WeightedUpstream("stable", self._ports["predictor_grpc"], 100)]
        self.address = f"http://{HOST}:{options.port}"
        self.grpc_address = f"{HOST}:{options.grpc_port}"

    def require_ports(self) -> None:
        """Refuse to start anything where a port that callers know is taken.

        Raises:
            StartFailed: It is.
        """
        for flag, port in (("--port", self._options.port), ("--grpc-port", self._options.grpc_port)):
            try:
                require_free("auth_proxy", port)
            except StartFailed as error:
                raise StartFailed(f"{error}; choose another with {flag}") from error

    def parts(self) -> Sequence[Part]:
        """All parts, in an order in which each finds what it needs."""
        return (
            Part("postgres", self._start_postgres),
            Part("valkey", self._start_valkey),
            Part("seaweed", self._start_seaweed),
            Part("bundle", self._make_bundle),
            Part("issuer", self._start_issuer),
            Part("predictor", self._start_predictor, ("bundle",)),
            Part("envoy", self._start_envoy),
            Part("transformer", self._start_transformer, ("postgres", "bundle")),
            Part("auth_proxy", self._start_auth_proxy, ("issuer", "bundle")),
            Part("samples", self._upload_samples, ("seaweed",)),
            Part("first answer", self._ask, ("samples", "auth_proxy", "transformer", "predictor", "envoy")),
        )

    @property
    def folder(self) -> Path:
        """The state folder."""
        return self._folder

    @property
    def stable(self) -> PredictorRevision:
        """The revision that the part ``predictor`` serves; known once there is its bundle."""
        if self._revision is None:
            digest = (self._bundle() / SEAL_FILE).read_text().split()[0]
            self._revision = PredictorRevision(
                name="stable", bundle=self._bundle(), digest=digest, weight=100
            )
        return self._revision

    @property
    def stable_ports(self) -> Ports:
        """Where the part ``predictor`` listens."""
        return Ports(self._ports["predictor_http"], self._ports["predictor_grpc"])

    @property
    def canary_ports(self) -> Ports:
        """Where a canary listens."""
        return Ports(self._ports["canary_http"], self._ports["canary_grpc"])

    def serve_from(self, revision: PredictorRevision) -> None:
        """Have the part ``predictor`` started on this revision from its next start on."""
        self._revision = revision

    def launch_canary(self, bundle: Path) -> Service:
        """Start a second predictor, beside that of the stable revision; it may not answer yet."""
        return launch_predictor(self._folder / "canary", self.canary_ports, bundle, self._options.threads)

    def split(self, upstreams: Sequence[WeightedUpstream]) -> None:
        """Split the traffic between the predictors, also should Envoy start anew."""
        if list(upstreams) != self._upstreams:
            self._upstreams = list(upstreams)
            write_upstreams(self._folder / "envoy", upstreams)

    def recorded(self) -> StackRecord:
        """What to write down about this stack before anything has started."""
        return StackRecord(
            phase="starting",
            supervisor=ProcessId.here(),
            address=self.address,
            grpc_address=self.grpc_address,
            issuer=self.issuer,
            store={
                "url": self._store.url,
                "access_key": self._store.access_key,
                "secret_key": self._store.secret_key,
            },
            metrics={name: f"http://{HOST}:{self._ports[port]}/metrics" for name, port in _METRICS.items()},
        )

    def _start_postgres(self) -> Server | None:
        if self._options.postgres:
            require_postgres(self._postgres)
            return None
        server = start_postgres(self._folder / "postgres", self._ports["postgres"])
        self._postgres = server.url
        return server

    def _start_valkey(self) -> Server | None:
        if self._options.redis is not None:
            if self._redis:
                require_redis(self._redis)
            return None
        return start_valkey(self._folder / "valkey", self._ports["valkey"])

    def _start_seaweed(self) -> Server | None:
        store = self._store
        if self._options.store:
            require_store(store.url, store.access_key, store.secret_key, BUCKET)
            return None
        folder, port = self._folder / "seaweed", self._ports["seaweed"]
        return start_seaweed(folder, port, store.access_key, store.secret_key)

    def _upload_samples(self) -> None:
        store = self._store
        client = build_store_client(store.url, store.access_key, store.secret_key, timeout_s=20.0)
        upload_files(client, BUCKET, find_samples())

    def _make_bundle(self) -> None:
        revision = self._revision
        if revision is None:
            make_bundle(self._bundle(), self._folder / "bundle.log")
            return
        try:
            require_digest(revision.bundle, revision.digest)
        except InvalidBundle as error:
            raise StartFailed(f"bundle: revision {revision.name} cannot be served: {error}") from error

    def _bundle(self) -> Path:
        if self._revision:
            return self._revision.bundle
        return choose_bundle_folder(self._options.bundle, self._folder / "bundles")

    def _start_predictor(self) -> Service:
        folder = self._folder / "predictor"
        return start_predictor(folder, self.stable_ports, self._bundle(), self._options.threads)

    def _start_envoy(self) -> Server:
        return start_envoy(self._folder / "envoy", self._ports["envoy"], self._upstreams)

    def _start_issuer(self) -> Service:
        folder, port = self._folder / "issuer", self._ports["issuer"]
        environment = {"PLEURA_ISSUER_FOLDER": str(folder), "PLEURA_ISSUER": self.issuer}
        return start_service(
            "pleura.local.token_issuer", folder, Ports(port, port), environment, "/jwks.json"
        )

    def _start_transformer(self) -> Service:
        folder = self._folder / "transformer"
        environment = {
            "PLEURA_PREDICTOR_ADDRESS": f"{HOST}:{self._ports['envoy']}",
            "PLEURA_S3_URL": self._store.url,
            "PLEURA_S3_ACCESS_KEY": self._store.access_key,
            "PLEURA_S3_SECRET_KEY": self._store.secret_key,
            "PLEURA_S3_BUCKET": BUCKET,
            "PLEURA_REDIS_URL": self._redis,
            "PLEURA_JOURNAL_DSN": self._postgres,
            "PLEURA_SPOOL_FOLDER": str(folder / "spool"),
        }
        ports = Ports(self._ports["transformer_http"], self._ports["transformer_grpc"])
        return start_service("transformer", folder, ports, environment)

    def _start_auth_proxy(self) -> Service:
        environment = {
            "PLEURA_METRICS_PORT": str(self._ports["auth_proxy_metrics"]),
            "PLEURA_TRANSFORMER_URL": f"http://{HOST}:{self._ports['transformer_http']}",
            "PLEURA_TRANSFORMER_GRPC": f"{HOST}:{self._ports['transformer_grpc']}",
            "PLEURA_ISSUER": self.issuer,
            "PLEURA_AUDIENCE": AUDIENCE,
            "PLEURA_JWKS_URL": f"{self.issuer}/jwks.json",
            "PLEURA_RATE_PER_S": "2000",  # on one machine there is one principal, and nobody to be fair to
            "PLEURA_BURST": "2000",
        }
        ports = Ports(self._options.port, self._options.grpc_port)
        return start_service("auth_proxy", self._folder / "auth_proxy", ports, environment, "/readyz")

    def _ask(self) -> None:
        """Ask for a sample's findings, as a caller would."""
        sample = choose_sample(find_samples())
        if sample is None:
            return
        headers = {"authorization": f"Bearer {make_token(self._folder, self.issuer)}"}
        with httpx.Client(trust_env=False, timeout=START_TIMEOUT_S) as client:
            answer = client.post(f"{self.address}/classify", json={"image_id": sample.name}, headers=headers)
        if not answer.is_success:
            raise StartFailed(f"first answer: status {answer.status_code}: {_error_of(answer)}")


def _wanted_revision(folder: Path) -> PredictorRevision | None:
    """The revision that has most of the traffic by ``revisions.json``, if there is that file."""
    try:
        wanted, _ = read_wanted_revisions(folder)
    except InvalidRevisions as error:
        raise StartFailed(f"bundle: {error}") from error
    return wanted.heaviest if wanted else None


def _error_of(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return answer.text[:200]
