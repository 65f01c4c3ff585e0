"""Open the model registry, promote a version and roll back, for ``pleura model``."""

import contextlib
import getpass
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from pipelines.registry.audit_trail import StaleView
from pipelines.registry.bundle_store import BundleStore
from pipelines.registry.catalogue import Catalogue, NoSuchVersion
from pipelines.registry.mlflow_client import RegistryUnavailable, connect_mlflow
from pipelines.registry.registration import ModelVersion, MoveReason
from pipelines.registry.registry import NoPreviousChampion, NotPromotable, Registry
from pipelines.rollout.target import TargetUnavailable
from pleura.bundle import InvalidBundle, NotStored
from pleura.console.model_serving import serve_version
from pleura.console.model_tables import move_line
from pleura.console.output import CommandFailed, one_line_errors, print_line
from pleura.console.settings import read_settings, reveal
from pleura.errors import StoreUnavailable
from pleura.local.object_store import build_store_client
from pleura.local.state_folder import StateFolder
from pleura.object_bucket import ChangedObject, NoSuchObject, ObjectBucket

_STORE_TIMEOUT_S: Final = 30.0
_SQLITE: Final = "sqlite:///"
_EXPECTED: Final = (
    ChangedObject,
    InvalidBundle,
    NoPreviousChampion,
    NoSuchObject,
    NoSuchVersion,
    NotPromotable,
    NotStored,
    RegistryUnavailable,
    StaleView,
    StoreUnavailable,
    TargetUnavailable,
)


@dataclass(frozen=True)
class StoreOptions:
    """The options that name the object store of the models; the local stack's where ``url`` is None."""

    url: str | None
    access_key: str | None
    secret_key: str | None
    bucket: str | None


@contextlib.contextmanager
def registry_errors() -> Iterator[None]:
    """Report what the registry or the store refuses as one line."""
    with one_line_errors(*_EXPECTED):
        try:
            yield
        except ValidationError as error:
            first = error.errors()[0]
            raise CommandFailed(f"--{first['loc'][0]}: {first['msg']}") from error


def open_catalogue(state: Path, mlflow: str | None) -> Catalogue:
    """Open the registry to read it."""
    return Catalogue(connect_mlflow(_registry_uri(state, mlflow)))


def open_registry(state: Path, mlflow: str | None, options: StoreOptions) -> Registry:
    """Open the registry to change it."""
    store = _open_store(state, options)  # first: MLflow takes seconds to load
    return Registry(connect_mlflow(_registry_uri(state, mlflow)), store)


def promote_version(
    registry: Registry, name: str, who: str | None, reason: str, override: str | None
) -> None:
    """Make a version the champion, and print the move."""
    why = MoveReason(who=who or _user_name(), reason=reason, override=override)
    champion, version = registry.champion(), registry.version(name)
    if champion == version:
        # completes a move that a crash interrupted
        registry.settle()
        print_line(f"version {version.number} is the champion already")
        return
    # with the champion that we saw: of two users who promote at once, the second is refused
    _print_move(registry, registry.promote(version.number, why, champion.number if champion else None))


def roll_back(registry: Registry, state: Path, who: str | None, reason: str) -> None:
    """Have the local stack serve the previous champion, make it the champion, and print the move."""
    why = MoveReason(who=who or _user_name(), reason=reason)
    champion = registry.champion()
    if champion is None:
        raise NoPreviousChampion("there is no champion")
    former = registry.settle().former
    # before the alias moves: it must not name a model that the stack cannot serve
    if former and serve_version(state, registry.store, registry.version(former[-1])):
        print_line(f"served here: version {former[-1]}")
    _print_move(registry, registry.rollback(why, champion.number))


def upload_bundle(state: Path, bundle: Path, options: StoreOptions) -> None:
    """Store a bundle, and print its URI and digest as a predictor's settings."""
    store = _open_store(state, options)
    digest = store.upload(bundle)
    print_line(f"PLEURA_BUNDLE_URI={store.uri(digest)}")
    print_line(f"PLEURA_BUNDLE_DIGEST={digest}")


def _print_move(registry: Registry, champion: ModelVersion) -> None:
    print_line(f"champion: version {champion.number}, {champion.bundle_uri}")
    print_line(move_line(registry.moves()[-1]))


def _registry_uri(state: Path, mlflow: str | None) -> str:
    uri = mlflow or reveal(read_settings().mlflow_uri) or f"{_SQLITE}{state / 'mlflow.db'}"
    # MLflow would make an empty registry
    if uri.startswith(_SQLITE) and not Path(uri.removeprefix(_SQLITE)).exists():
        raise CommandFailed(f"nothing has been registered: there is no {uri.removeprefix(_SQLITE)}")
    return uri


def _open_store(state: Path, options: StoreOptions) -> BundleStore:
    settings = read_settings()
    url, access_key, secret_key = options.url, options.access_key, options.secret_key
    if url:
        access_key = access_key or reveal(settings.s3_access_key)
        secret_key = secret_key or reveal(settings.s3_secret_key)
    else:
        record = StateFolder(state).read()
        if record is None:
            raise CommandFailed("no stack runs here: name the object store of the models with --s3")
        url, access_key, secret_key = (record.store[key] for key in ("url", "access_key", "secret_key"))
    if not (access_key and secret_key):
        raise CommandFailed("--s3 needs --s3-access-key and --s3-secret-key (or PLEURA_S3_ACCESS_KEY, ...)")
    client = build_store_client(url, access_key, secret_key, timeout_s=_STORE_TIMEOUT_S)
    return BundleStore(ObjectBucket(client, options.bucket or settings.models_bucket))


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container whose user has no name
        return "unknown"
