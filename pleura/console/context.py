"""The context of a command: what the user typed, and the stack that the user means."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from pleura.console.output import CommandFailed

if TYPE_CHECKING:
    from pleura.settings import PleuraSettings

_Settings = TypeVar("_Settings", bound="PleuraSettings")

Url = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="Address of Pleura. Default: the local stack.")
]
Token = Annotated[
    str | None,
    typer.Option("--token", metavar="TOKEN", help="Bearer token. Default: one of the local stack."),
]


@dataclass(frozen=True)
class Invocation:
    """The arguments of one ``pleura``, and the option --state among them."""

    arguments: Sequence[str]
    state: Path | None = None


def read_invocation(context: typer.Context) -> Invocation:
    """Return the invocation that the command belongs to."""
    invocation = context.find_object(Invocation)
    assert invocation
    return invocation


def find_state(context: typer.Context) -> Path:
    """Return the state folder of the stack that the user means."""
    from pleura.console.settings import read_settings
    from pleura.local.discovery import find_state_folder

    return find_state_folder(read_invocation(context).state or read_settings().home)


def read_stack_defaults(state: Path) -> Mapping[str, str]:
    """Return the settings of the running local stack; nothing where no stack runs.

    The address of an object store and its keys belong together: where the environment sets one of them, the
    stack gives none.
    """
    from pleura.environment import FILE_SUFFIX
    from pleura.local.stack_settings import read_stack_settings
    from pleura.local.state_folder import StateFolder

    record = StateFolder(state).read()
    if record is None or not record.is_running:
        return {}
    settings = read_stack_settings(state, record)
    store = {"PLEURA_S3_URL", "PLEURA_S3_ACCESS_KEY", "PLEURA_S3_SECRET_KEY"}
    if store & {name.upper().removesuffix(FILE_SUFFIX) for name in os.environ}:
        return {name: value for name, value in settings.items() if name not in store}
    return settings


def read_settings_with_stack(kind: type[_Settings], state: Path) -> _Settings:
    """Read settings from the environment; the running local stack gives those that it does not set.

    Raises:
        CommandFailed: A setting is missing or wrong.
    """
    from pleura.settings import InvalidSettings

    defaults = read_stack_defaults(state)
    try:
        return kind.read(defaults)
    except InvalidSettings as error:
        hint = "" if defaults else f" (no stack runs in {state}: pleura up starts one)"
        raise CommandFailed(f"{error}{hint}") from error
