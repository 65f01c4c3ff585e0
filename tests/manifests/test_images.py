"""The images: what their locks and the Containerfile say. ``make images`` builds them."""

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from manifests.images.__main__ import write_sbom
from manifests.images.services import IMAGES, PYTHON_VERSION, ROOT, Image

_CONTAINERFILE = ROOT / "manifests" / "images" / "Containerfile"
_PIN = re.compile(r"^([a-z0-9._-]+)==([^ \\]+)", re.MULTILINE)
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_EXTRAS = _PROJECT["optional-dependencies"]


def pins(path: Path) -> set[tuple[str, str]]:
    """Return the name and the version of each requirement of a lock."""
    return set(_PIN.findall(path.read_text()))


def wanted(extra: str) -> Iterator[str]:
    """Return the names of the requirements of an extra, and of those that it includes."""
    for text in _EXTRAS[extra]:
        requirement = Requirement(text)
        if requirement.name == "pleura":
            for included in requirement.extras:
                yield from wanted(included)
        elif requirement.marker is None or requirement.marker.evaluate():
            yield requirement.name.lower().replace("_", "-")


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.service)
def test_a_lock_has_the_versions_that_were_tested(image: Image) -> None:
    """Each wheel of an image has a hash and the version of ``requirements.lock``, and no extra is missing."""
    assert pins(image.lock) <= pins(ROOT / "requirements.lock"), "run make lock"
    entries = re.split(r"\n(?=[a-z0-9])", image.lock.read_text().strip())
    assert all("--hash=sha256:" in entry for entry in entries)
    names = {name for name, _ in pins(image.lock)}
    assert names >= {name for extra in image.extras for name in wanted(extra)}, "run make lock"


def test_the_services_get_no_tools_of_development() -> None:
    """No image of a service holds a test tool or a shell for the network, and the proxy no model server."""
    tools = {"pytest", "mypy", "ruff", "pip", "tensorflow-cpu", "mlflow"}
    for image in IMAGES:
        if image.service != "pipelines":
            assert not tools & {name for name, _ in pins(image.lock)}, image.service
    assert "kserve" not in {name for name, _ in pins(IMAGES[0].lock)}


@pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.service)
def test_an_image_has_the_packages_that_its_code_imports(image: Image) -> None:
    """No module of an image imports a package of this repository that the image does not hold."""
    ours = {"pleura", "auth_proxy", "transformer", "predictor", "pipelines", "proof", "tests", "manifests"}
    # the console and the local stack are in each image with ``pleura``, and only `pipelines` uses them
    unused = {"pleura/console", "pleura/local"}
    for package in image.packages:
        for path in (ROOT / package).rglob("*.py"):
            if any(path.is_relative_to(ROOT / folder) for folder in unused):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module:
                    top = node.module.partition(".")[0]
                    assert top not in ours or top in image.packages, (path, node.module)


def test_the_containerfile_is_as_strict_as_it_says() -> None:
    """The base is pinned by digest, nothing needs a shell, each image runs as 65532."""
    text = _CONTAINERFILE.read_text()
    assert re.search(r"^ARG BASE=\S+@sha256:[0-9a-f]{64}$", text, re.MULTILINE)
    assert all(line.startswith('RUN ["') for line in text.splitlines() if line.startswith("RUN"))
    stages = dict(
        re.findall(r"^FROM (?:\$\{BASE\}|base) AS (\S+)\n(.*?)(?=^FROM|\Z)", text, re.MULTILINE | re.DOTALL)
    )
    assert "USER 65532:65532" in stages["base"]
    for image in IMAGES:
        stage = stages[image.service]
        assert "USER" not in stage
        assert f"org.opencontainers.image.title={image.name} " in stage
        module = "pleura.console.app" if image.service == "pipelines" else image.service
        assert f'ENTRYPOINT ["python3", "-m", "{module}"]' in stage


def test_the_images_run_the_oldest_python_that_is_supported() -> None:
    """The locks hold the versions for that Python, which are those that CI tests."""
    (oldest, _) = _PROJECT["requires-python"].split(",")
    assert oldest == f">={PYTHON_VERSION}"
    assert f"--python-version {PYTHON_VERSION} " in (ROOT / "Makefile").read_text()


def test_an_sbom_lists_each_wheel(tmp_path: Path) -> None:
    """The CycloneDX document of an image names exactly the wheels of its lock."""
    image = IMAGES[0]
    write_sbom(image, tmp_path / "sbom.json")
    document = json.loads((tmp_path / "sbom.json").read_text())
    assert document["bomFormat"] == "CycloneDX"
    assert {(each["name"], each["version"]) for each in document["components"]} == pins(image.lock)
