"""The stage for the attacks, set once."""

from collections.abc import Iterator

import pytest

from proof.attacks.attacked_proxy import AttackedProxy, start_attacked_proxy


@pytest.fixture(scope="session")
def shared_attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackedProxy]:
    """The one stage."""
    with start_attacked_proxy(tmp_path_factory.mktemp("stage")) as running:
        yield running


@pytest.fixture
def attacked(shared_attacked: AttackedProxy) -> AttackedProxy:
    """The stage, with nothing noted yet."""
    shared_attacked.clear()
    return shared_attacked
