"""What ``pleura model`` takes on the command line."""

import argparse
import getpass
from typing import Any

from pleura.console.model_import import add_import
from pleura.console.settings import Settings


def add_model(commands: Any, settings: Settings) -> None:
    """Add the command ``model`` and its own commands."""
    model = commands.add_parser("model", help="list, compare, promote, roll back and import models")
    models = model.add_subparsers(required=True, metavar="MODEL_COMMAND")
    shared = _shared(settings)
    listed = models.add_parser("list", parents=[shared], help="list the registered versions")
    listed.set_defaults(run="cli_model:list_versions")
    show = models.add_parser("show", parents=[shared], help="say everything that is known of a version")
    show.set_defaults(run="cli_model:show")
    _add_version(show, "version")
    compare = models.add_parser("compare", parents=[shared], help="show two versions' figures side by side")
    compare.set_defaults(run="cli_model:compare")
    _add_version(compare, "first")
    _add_version(compare, "second")
    reason = _reason(settings)
    promote = models.add_parser("promote", parents=[shared, reason], help="make a version the champion")
    promote.set_defaults(run="cli_model:promote")
    _add_version(promote, "version")
    promote.add_argument(
        "--override", metavar="REASON", help="promote although the gate did not pass it; this is recorded"
    )
    rollback = models.add_parser("rollback", parents=[shared, reason], help="return to the champion before")
    rollback.set_defaults(run="cli_model:rollback")
    add_import(models)


def _add_version(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument(
        name, metavar=name.upper(), help="number, champion, challenger, or digest (8 and more)"
    )


def _shared(settings: Settings) -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--mlflow",
        default=settings.mlflow_uri,
        metavar="URI",
        help="the registry: an MLflow server, or sqlite:///FILE (mlflow.db in the state folder)",
    )
    return shared


def _reason(settings: Settings) -> argparse.ArgumentParser:
    reason = argparse.ArgumentParser(add_help=False)
    reason.add_argument("--reason", required=True, metavar="TEXT", help="why; it is kept in the audit trail")
    reason.add_argument("--who", default=_user(), help="who decides this (default %(default)s)")
    reason.add_argument("--s3", metavar="URL", help="S3 server of the models (that of the local stack)")
    secret = settings.s3_secret_key
    reason.add_argument("--s3-access-key", default=settings.s3_access_key, metavar="KEY")
    reason.add_argument("--s3-secret-key", default=secret and secret.get_secret_value(), metavar="KEY")
    reason.add_argument("--bucket", default=settings.models_bucket, help="their bucket (%(default)s)")
    return reason


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container whose user has no name
        return "unknown"
