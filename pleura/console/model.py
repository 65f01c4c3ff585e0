"""``pleura model list``, ``show``, ``compare``, ``promote`` and ``rollback``."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from pipelines.object_store import ChangedObject, NoSuchObject, ObjectStore
from pipelines.registry.audit_trail import StaleView
from pipelines.registry.bundle_store import BundleStore, NotStored
from pipelines.registry.catalogue import Catalogue, NoSuchVersion
from pipelines.registry.mlflow_client import RegistryUnavailable, connect_mlflow
from pipelines.registry.registration import ModelVersion, MoveReason
from pipelines.registry.registry import NoPreviousChampion, NotPromotable, Registry
from pipelines.rollout.target import TargetUnavailable
from pleura.bundle import InvalidBundle
from pleura.console.model_serving import serve
from pleura.console.model_text import comparison, details, listing, told
from pleura.console.output import print_error, print_line
from pleura.errors import StoreUnavailable
from pleura.local.object_store import store_client
from pleura.local.state_folder import StateFolder

_STORE_TIMEOUT_S: Final = 30.0
_SQLITE: Final = "sqlite:///"
_REFUSALS: Final = (
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


class NotGiven(Exception):
    """The command line and the state folder do not say where something is."""


def list_versions(arguments: argparse.Namespace) -> int:
    """Print a table of the versions."""
    return _told(lambda: _say_all(listing(_catalogue(arguments).versions())))


def show(arguments: argparse.Namespace) -> int:
    """Print all that is known of a version."""

    def tell() -> None:
        catalogue = _catalogue(arguments)
        _say_all(details(catalogue.version(arguments.version), catalogue.moves()))

    return _told(tell)


def compare(arguments: argparse.Namespace) -> int:
    """Print two versions' figures side by side."""

    def tell() -> None:
        catalogue = _catalogue(arguments)
        _say_all(comparison(catalogue.version(arguments.first), catalogue.version(arguments.second)))

    return _told(tell)


def promote(arguments: argparse.Namespace) -> int:
    """Make a version the champion."""

    def move() -> None:
        registry = _registry(arguments)
        why = MoveReason(who=arguments.who, reason=arguments.reason, override=arguments.override)
        champion = registry.champion()
        version = registry.version(arguments.version)
        if champion == version:
            registry.settle()
            print_line(f"version {version.number} is the champion already")
            return
        promoted = registry.promote(version.number, why, champion.number if champion else None)
        _say_moved(registry, promoted)

    return _told(move)


def rollback(arguments: argparse.Namespace) -> int:
    """Make the champion before this one the champion again; the stack that runs here serves it first."""

    def move() -> None:
        registry = _registry(arguments)
        why = MoveReason(who=arguments.who, reason=arguments.reason)
        champion = registry.champion()
        if champion is None:
            raise NoPreviousChampion("there is no champion")
        former = registry.settle().former
        if former and serve(arguments.state.resolve(), registry.store, registry.version(former[-1])):
            print_line(f"served here: version {former[-1]}")
        _say_moved(registry, registry.rollback(why, champion.number))

    return _told(move)


def _told(do: Callable[[], None]) -> int:
    """Do something; what refuses it is one line."""
    try:
        do()
    except ValidationError as error:
        first = error.errors()[0]
        return print_error(f"--{first['loc'][0]}: {first['msg']}")
    except (NotGiven, *_REFUSALS) as error:
        return print_error(str(error))
    return 0


def _say_all(lines: list[str]) -> None:
    print_line("\n".join(lines))


def _say_moved(registry: Registry, champion: ModelVersion) -> None:
    print_line(f"champion: version {champion.number}, {champion.bundle_uri}")
    print_line(told(registry.moves()[-1]))


def _catalogue(arguments: argparse.Namespace) -> Catalogue:
    return Catalogue(connect_mlflow(_registry_uri(arguments)))


def _registry(arguments: argparse.Namespace) -> Registry:
    store = _store(arguments)  # first: MLflow takes seconds to load
    return Registry(connect_mlflow(_registry_uri(arguments)), store)


def _registry_uri(arguments: argparse.Namespace) -> str:
    uri: str = arguments.mlflow or f"{_SQLITE}{arguments.state.resolve() / 'mlflow.db'}"
    if uri.startswith(_SQLITE) and not Path(uri.removeprefix(_SQLITE)).exists():
        raise NotGiven(f"nothing has been registered: there is no {uri.removeprefix(_SQLITE)}")
    return uri


def _store(arguments: argparse.Namespace) -> BundleStore:
    keys = (arguments.s3_access_key, arguments.s3_secret_key)
    if arguments.s3:
        if not all(keys):
            raise NotGiven("--s3 needs --s3-access-key and --s3-secret-key (or PLEURA_S3_ACCESS_KEY, ...)")
        client = store_client(arguments.s3, *keys, timeout_s=_STORE_TIMEOUT_S)
    else:
        recorded = StateFolder(arguments.state.resolve()).read()
        if recorded is None:
            raise NotGiven("no stack runs here: say with --s3 where the models are")
        store = recorded.store
        client = store_client(
            store["url"], store["access_key"], store["secret_key"], timeout_s=_STORE_TIMEOUT_S
        )
    return BundleStore(ObjectStore(client, arguments.bucket))
