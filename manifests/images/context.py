"""Prepare the build context of an image: its wheels, and the code of this checkout.

The wheels are installed here and not in the image's build, so that a base needs neither pip nor a network.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from manifests.images.services import PYTHON_VERSION, ROOT, Image

_UV: Final = str(Path(sys.executable).with_name("uv"))
_PROJECT_FILES: Final = ("pyproject.toml", "README.md", "LICENSE")
# where and when uv installed a wheel: it would make each build another image
_INSTALLATION_NOTES: Final = ("direct_url.json", "uv_cache.json", "REQUESTED")
_SAMPLE_WEIGHTS: Final = "predictor/default"


class BuildFailed(Exception):
    """An image cannot be built. The text says why, in one line."""


def run(*command: str, cwd: Path = ROOT) -> str:
    """Run a command and return what it prints.

    Raises:
        BuildFailed: The command is missing, or ends with an error.
    """
    try:
        return subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.PIPE, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise BuildFailed(f"{command[0]} failed: {error}") from error


def prepare_context(image: Image, folder: Path) -> None:
    """Write the folders ``dependencies`` and ``code`` of an image, in place of earlier ones.

    Raises:
        BuildFailed: A wheel is missing, or has other content than its hash says.
    """
    for name in ("dependencies", "code"):
        shutil.rmtree(folder / name, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    built = [option for name in image.built for option in ("--no-binary", name)]
    _install(folder / "dependencies", "--require-hashes", "--requirement", str(image.lock), *built)
    with tempfile.TemporaryDirectory() as temporary:
        wheel = _build_wheel(image, Path(temporary))
        _install(folder / "code", "--no-deps", str(wheel))
    for path in folder.glob("*/bin"):  # scripts that name the interpreter of this machine
        shutil.rmtree(path)
    for note in _INSTALLATION_NOTES:
        for path in folder.glob(f"*/*.dist-info/{note}"):
            path.unlink()
    for path in folder.glob("code/*.dist-info/RECORD"):  # it has the digests of those notes
        path.unlink()


def _install(target: Path, *arguments: str) -> None:
    run(
        *(_UV, "--system-certs", "pip", "install", "--quiet", "--target", str(target)),
        *("--python-version", PYTHON_VERSION, "--only-binary", ":all:", "--link-mode", "copy"),
        *arguments,
    )


def _build_wheel(image: Image, folder: Path) -> Path:
    """Build a wheel of the image's packages alone, from the files that git tracks."""
    source = folder / "source"
    listed = run("git", "ls-files", "-z", "--", *image.packages, *_PROJECT_FILES).split("\0")
    for name in filter(None, listed):
        if not name.startswith(f"{_SAMPLE_WEIGHTS}/") or "pipelines" in image.packages:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    command = (_UV, "build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable)
    run(*command, "--out-dir", str(folder), cwd=source)
    (wheel,) = folder.glob("*.whl")
    return wheel
