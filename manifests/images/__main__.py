"""Build the images, and print their digests and sizes: ``python -m manifests.images [SERVICE...]``.

``BASE`` in the environment is the base of the images in place of the one in the Containerfile. With
``BASE=debian`` the base is made of Debian's packages. ``TAG`` is the tag; the default is the version.
"""

import argparse
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

from manifests.images.base import make_base
from manifests.images.context import BuildFailed, prepare_context, run
from manifests.images.services import IMAGES, ROOT, Image
from manifests.images.tools import BuiltImage, Tool, find_tool

_FOLDER: Final = ROOT / "build" / "images"
_MEGABYTE: Final = 1_000_000
_DEBIAN: Final = "debian"


def build_image(tool: Tool, image: Image, base: str, tag: str) -> BuiltImage:
    """Build one image and write its SBOM.

    Raises:
        BuildFailed: It cannot be built, or is larger than it may be.
    """
    prepare_context(image, _FOLDER / "context" / image.service)
    write_sbom(image, _FOLDER / f"{image.name}.cdx.json")
    revision = run("git", "rev-parse", "HEAD").strip()
    arguments = {"SERVICE": image.service, "VERSION": version("pleura"), "REVISION": revision}
    if base:
        arguments["BASE"] = base
    reference = f"{image.name}:{tag}"
    tool.build(_FOLDER / "context", image.service, reference, arguments)
    built = tool.inspect(reference)
    if built.compressed_bytes > image.max_mb * _MEGABYTE:
        size = built.compressed_bytes // _MEGABYTE
        raise BuildFailed(f"{reference} has {size} MB, more than {image.max_mb} MB")
    return built


def write_sbom(image: Image, path: Path) -> None:
    """Write the CycloneDX list of an image's wheels, with their versions and hashes."""
    command = (sys.executable, "-m", "cyclonedx_py", "requirements", "--short-PURLs", "--output-reproducible")
    run(*command, "--output-file", str(path), str(image.lock))


def choose_base(tool: Tool, image: Image, base: str) -> str:
    """Return the base of an image; one of Debian's packages is made first."""
    if base != _DEBIAN:
        return base
    # Kubeflow Pipelines starts a step with `sh`
    with_shell = image.service == "pipelines"
    name = "pleura-base-shell" if with_shell else "pleura-base"
    archive, reference = _FOLDER / f"{name}.tar", f"localhost/{name}:bookworm"
    if not archive.exists():
        make_base(archive, with_shell)
    tool.import_base(archive, reference)
    return reference


def main() -> None:
    """Build the images that the arguments name, or all."""
    services = [image.service for image in IMAGES]
    parser = argparse.ArgumentParser(description="Build the images of the services.")
    parser.add_argument("service", nargs="*", choices=[*services, []], help="services; by default all")
    chosen = parser.parse_args().service or services
    base, tag = os.environ.get("BASE", ""), os.environ.get("TAG") or version("pleura")
    try:
        tool = find_tool()
        for image in (image for image in IMAGES if image.service in chosen):
            built = build_image(tool, image, choose_base(tool, image, base), tag)
            size = built.compressed_bytes / _MEGABYTE
            print(f"{built.reference:40} {built.digest} {size:6.1f} MB", flush=True)  # noqa: T201
    except BuildFailed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
