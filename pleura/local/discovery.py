"""Find the state folder that a command means, so that ``pleura`` works from any folder."""

import contextlib
import os
from pathlib import Path
from typing import Final

from pleura.local.state_folder import StateFolder

_NAME: Final = ".pleura"


def find_state_folder(given: Path | None) -> Path:
    """Return the state folder of the stack that a command asks.

    The order is: the given folder; ``.pleura`` in the current folder or the nearest parent that has one; the
    stack that this user started last, if it still runs; ``.pleura`` in the current folder.
    """
    if given:
        return given.resolve()
    return _nearest_folder() or _running_stack() or Path.cwd() / _NAME


def find_folder_to_start(given: Path | None) -> Path:
    """Return the state folder for ``pleura up``; a stack that runs elsewhere does not count."""
    return given.resolve() if given else _nearest_folder() or Path.cwd() / _NAME


def remember_stack(state: Path) -> None:
    """Remember that this user started the stack of this folder last."""
    record = _record_file()
    with contextlib.suppress(OSError):  # a home that cannot be written only loses the convenience
        record.parent.mkdir(parents=True, exist_ok=True)
        new = record.with_name(f"{record.name}.{os.getpid()}")
        new.write_text(f"{state.resolve()}\n")
        new.replace(record)


def _nearest_folder() -> Path | None:
    here = Path.cwd()
    return next((path for folder in (here, *here.parents) if _is_ours(path := folder / _NAME)), None)


def _is_ours(folder: Path) -> bool:
    """Whether the user owns the folder: in a shared parent another user could redirect the requests."""
    try:
        return folder.is_dir() and folder.stat().st_uid == os.getuid()
    except OSError:
        return False


def _running_stack() -> Path | None:
    try:
        state = Path(_record_file().read_text().strip())
    except (OSError, ValueError, RuntimeError):
        return None
    record = StateFolder(state).read()
    return state if record and record.is_running else None


def _record_file() -> Path:
    """The XDG base directory specification names the folder."""
    base = os.environ.get("XDG_STATE_HOME", "")
    folder = Path(base) if Path(base).is_absolute() else Path.home() / ".local" / "state"
    return folder / "pleura" / "last_stack"
