"""The stage for the attacks, set once."""

from collections.abc import Iterator

import pytest

from proof.attacks.stage import AttackStage, stage


@pytest.fixture(scope="session")
def shared_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackStage]:
    """The one stage."""
    with stage(tmp_path_factory.mktemp("stage")) as running:
        yield running


@pytest.fixture
def attacked(shared_stage: AttackStage) -> AttackStage:
    """The stage, with nothing noted yet."""
    shared_stage.clear()
    return shared_stage
