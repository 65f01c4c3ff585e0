"""The bundle that the stack serves: a given one, or one built from the weights that come with Pleura."""

import hashlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from pleura.local.pleura_services import build_service_environment
from pleura.local.processes import Command, StartFailed, launch, read_last_line

_BUILD_TIMEOUT_S: Final = 900.0
_SEAL: Final = "bundle.json.sha256"


def find_default_source() -> Path:
    """Return the folder of the weights that come with Pleura."""
    package = importlib.util.find_spec("predictor")
    if package is None or package.origin is None:
        raise StartFailed("bundle: the package predictor is not installed")
    # version 1.0.0: a candidate trained on from it was not better at its thresholds (docs/decisions/0027)
    return Path(package.origin).parent / "default"


def choose_bundle_folder(given: Path | None, bundles: Path) -> Path:
    """Return the folder of the bundle to serve: ``given``, or one of our weights, as our code builds it."""
    if given:
        return given.resolve()
    source = find_default_source()
    return bundles.resolve() / name_bundle(source, source.parent / "build")


def name_bundle(source: Path, code: Path) -> str:
    """Name the bundle that the modules in the folder ``code`` build of a model source.

    Raises:
        StartFailed: The source lacks a file.
    """
    digest = hashlib.sha256()
    # Other code makes another bundle of the same weights.
    for path in (source / "source.json", source / "weights.npz", *sorted(code.glob("*.py"))):
        if not path.exists():
            raise StartFailed(f"bundle: there is no {path}; name a bundle with --bundle or PLEURA_BUNDLE")
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def make_bundle(folder: Path, log: Path) -> None:
    """Build the bundle if it is missing, in a process of its own, because TensorFlow needs much memory.

    Raises:
        StartFailed: The bundle cannot be built.
    """
    # the seal is written last, so a bundle with it is complete
    if (folder / _SEAL).exists():
        return
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pleura.console.app", "model", "build"]
    arguments = [*command, str(find_default_source()), str(new)]
    environment = {**build_service_environment(), "TF_CPP_MIN_LOG_LEVEL": "2"}
    process = launch(Command("bundle", arguments, log, environment, folder=new.parent))
    try:
        process.wait(_BUILD_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise StartFailed(f"bundle: not built within {_BUILD_TIMEOUT_S:.0f} s (log: {log})") from None
    if process.returncode:
        raise StartFailed(f"bundle: cannot be built: {read_last_line(log)} (log: {log})")
    shutil.rmtree(folder, ignore_errors=True)  # an earlier Pleura left it without a seal
    new.rename(folder)
