"""The options of ``pleura up`` as values."""

from dataclasses import dataclass
from pathlib import Path

from pleura.local.parts import RESTARTS


@dataclass(frozen=True)
class StoreAddress:
    """An S3 server and its keys."""

    url: str
    access_key: str
    secret_key: str


@dataclass(frozen=True)
class OtherIssuer:
    """An OIDC issuer whose tokens the stack accepts as well as those of its own issuer."""

    url: str
    audience: str


@dataclass(frozen=True)
class StackOptions:
    """Options of a stack; None selects an embedded part, and an empty ``redis`` no cache."""

    state: Path
    port: int = 8000
    grpc_port: int = 8001
    bundle: Path | None = None
    store: StoreAddress | None = None
    redis: str | None = None
    postgres: str | None = None
    threads: int | None = None
    restarts: int = RESTARTS
    issuer: OtherIssuer | None = None
