"""The real network with random weights, built once."""

from pathlib import Path

import pytest

from proof.lab.bundles import make_random_source


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source folder as training leaves it, with random weights."""
    return make_random_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="session")
def densenet(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of that source."""
    from predictor.build.bundle import (
        build_bundle,  # TensorFlow comes along, for the tests that ask for it only
    )

    target = tmp_path_factory.mktemp("densenet") / "bundle"
    build_bundle(source, target)
    return target
