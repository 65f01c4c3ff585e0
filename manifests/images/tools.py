"""The program that builds images: Docker, Podman or Buildah, whichever this machine has."""

import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from manifests.images.context import BuildFailed, run

_CONTAINERFILE: Final = "Containerfile"


@dataclass(frozen=True)
class BuiltImage:
    """An image as it was pushed: the digest of its manifest, and the size of its compressed layers."""

    reference: str
    digest: str
    compressed_bytes: int


@dataclass(frozen=True)
class Tool:
    """A program that builds, and one that copies an image into a folder."""

    program: str

    def build(self, context: Path, target: str, reference: str, arguments: Mapping[str, str]) -> None:
        """Build one target of the Containerfile.

        Raises:
            BuildFailed: The program ends with an error.
        """
        options = [
            option for name, value in arguments.items() for option in ("--build-arg", f"{name}={value}")
        ]
        file = str(Path(__file__).with_name(_CONTAINERFILE))
        command = ["build", "--file", file, "--target", target, "--tag", reference, *options, str(context)]
        if self.program == "buildah":
            command[1:1] = ["--isolation", "chroot", "--layers=false", "--timestamp", "0"]
        run(self.program, *command)

    def import_base(self, archive: Path, reference: str) -> None:
        """Make an image of one layer from the archive of a file system."""
        if self.program == "buildah":
            container = run("buildah", "from", "scratch").strip()
            run("buildah", "add", "--quiet", container, str(archive), "/")
            run("buildah", "commit", "--quiet", "--rm", "--timestamp", "0", container, reference)
        else:
            run(self.program, "import", str(archive), reference)

    def inspect(self, reference: str) -> BuiltImage:
        """Read digest and compressed size of an image.

        Docker writes no manifest before a push: its digest is that of the image's configuration.
        """
        if self.program == "docker":
            digest = run("docker", "image", "inspect", "--format", "{{.Id}}", reference).strip()
            return BuiltImage(reference, digest, _measure_docker(reference))
        with tempfile.TemporaryDirectory() as folder:
            run(self.program, "push", "--quiet", reference, f"dir:{folder}")
            manifest = (Path(folder) / "manifest.json").read_bytes()
        layers = json.loads(manifest)["layers"]
        digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        return BuiltImage(reference, digest, sum(layer["size"] for layer in layers))


def find_tool() -> Tool:
    """Find a program that works here.

    Raises:
        BuildFailed: There is none.
    """
    for program, check in (("docker", ("info",)), ("podman", ("info",)), ("buildah", ("info",))):
        if shutil.which(program) and _succeeds(program, *check):
            return Tool(program)
    raise BuildFailed("install docker, podman or buildah (Debian package buildah): none of them works here")


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _measure_docker(reference: str) -> int:
    """Return the compressed size of an image in bytes. The compressed image is written to disk for that."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "image.tar"
        run("docker", "save", "--output", str(archive), reference)
        run("gzip", str(archive))
        return (Path(folder) / "image.tar.gz").stat().st_size
