"""Files and folders that only their owner can read."""

import os
import pwd
import secrets
import stat
from pathlib import Path
from typing import Final

_OTHERS: Final = 0o077
_SECRET_BYTES: Final = 32


class NotPrivate(Exception):
    """A folder cannot be closed to other users. The text says why."""


def write_private(path: Path, content: bytes) -> None:
    """Replace a file, so that no other user can read it at any time, and no reader meets half of it."""
    new = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    new.replace(path)


def read_or_make_secret(path: Path) -> str:
    """Read a random secret; make it at the first call."""
    if not path.exists():
        write_private(path, secrets.token_urlsafe(_SECRET_BYTES).encode())
    return path.read_text()


def close_folder(folder: Path) -> None:
    """Take the rights of all other users to a folder.

    Raises:
        NotPrivate: The folder belongs to another user, or its file system keeps no rights.
        OSError: The rights cannot be changed.
    """
    owner = folder.stat().st_uid
    if owner != os.geteuid():
        raise NotPrivate(f"it belongs to {_name_user(owner)}, who could read what is kept there")
    folder.chmod(0o700)
    if folder.stat().st_mode & _OTHERS:
        raise NotPrivate("its file system cannot close it to other users")


def close_content(folder: Path) -> None:
    """Take the rights of all other users to what is in a folder; what belongs to another user stays."""
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if _close(Path(parent, name))]
        for name in files:
            _close(Path(parent, name))


def _close(path: Path) -> bool:
    """Take the rights of others to one file or folder, and say whether it is our own."""
    status = path.lstat()
    if status.st_uid != os.geteuid() or stat.S_ISLNK(status.st_mode):
        return False
    if status.st_mode & _OTHERS:
        path.chmod(stat.S_IMODE(status.st_mode) & ~_OTHERS)
    return True


def _name_user(number: int) -> str:
    try:
        return f"the user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"the user {number}"
