"""Write the lock of each image from ``requirements.lock``: ``python -m manifests.images.lock``."""

import subprocess
import sys
from pathlib import Path
from typing import Final

from manifests.images.services import IMAGES, PYTHON_VERSION, ROOT, Image

_UV: Final = str(Path(sys.executable).with_name("uv"))


def write_lock(image: Image) -> None:
    """Write the lock of one image: the wheels of its extras for Linux, each with its hashes."""
    extras = [argument for extra in image.extras for argument in ("--extra", extra)]
    form = ("--generate-hashes", "--no-emit-index-url", "--no-header", "--no-annotate")
    python = ("--python-version", PYTHON_VERSION, "--python-platform", "linux")
    files = ("--constraints", "requirements.lock", "pyproject.toml", "--output-file", str(image.lock))
    command = (_UV, "--system-certs", "pip", "compile", "--quiet", *python, *form, *extras, *files)
    subprocess.run(command, cwd=ROOT, check=True)


def main() -> None:
    """Write all locks."""
    for image in IMAGES:
        write_lock(image)


if __name__ == "__main__":
    main()
