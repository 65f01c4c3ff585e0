"""Files and folders that only their owner can read."""

import contextlib
import os
import pwd
import secrets
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_OTHERS: Final = 0o077
_SECRET_BYTES: Final = 32


class NotPrivate(Exception):
    """A folder cannot be closed to other users. The text says why."""


def write_private(path: Path, content: bytes) -> None:
    """Replace a file, so that no other user can read it at any time, and no reader meets half of it."""
    with _write_draft(path, content) as draft:
        draft.replace(path)


def read_or_make_secret(path: Path) -> str:
    """Read a random secret; make it at the first call. Of several calls at once, one makes it for all."""
    if not path.exists():
        content = secrets.token_urlsafe(_SECRET_BYTES).encode()
        with _write_draft(path, content) as draft, contextlib.suppress(FileExistsError):
            os.link(draft, path)  # other than a rename, a link never replaces what is there
    return path.read_text()


@contextlib.contextmanager
def _write_draft(path: Path, content: bytes) -> Iterator[Path]:
    """Write a file of another name beside ``path``, which is gone after the ``with`` block."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        yield draft
    finally:
        draft.unlink(missing_ok=True)


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
