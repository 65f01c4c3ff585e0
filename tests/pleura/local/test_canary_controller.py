"""A running stack follows ``revisions.json``, with real predictors behind a real Envoy."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pleura.bundle import verify
from pleura.local.revision_files import (
    PredictorRevision,
    RevisionStatus,
    WantedRevisions,
    read_status,
    write_wanted_revisions,
)
from pleura.local.samples import choose_sample, find_samples
from proof.lab.running_stack import RunningStack, start_stack
from tests.support.load import start_steady_load


@pytest.fixture(scope="module")
def own(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack that only this module uses."""
    running = start_stack(tmp_path_factory.mktemp("canary"), bundle, "--no-cache")
    yield running
    running.stop()


def _revision(bundle: Path, weight: int) -> PredictorRevision:
    _, digest = verify(bundle)
    return PredictorRevision(name=digest[:12], bundle=bundle, digest=digest, weight=weight)


def _want(stack: RunningStack, *revisions: PredictorRevision) -> None:
    write_wanted_revisions(stack.state.path, WantedRevisions(revisions=revisions))


def _status(
    stack: RunningStack, holds: Callable[[RevisionStatus], bool], timeout_s: float = 60.0
) -> RevisionStatus:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        status = read_status(stack.state.path)
        if status and holds(status):
            return status
        time.sleep(0.05)
    raise AssertionError(f"{read_status(stack.state.path)}\n{stack.log.read_text()}")


def _shares(weight: int, digest: str) -> Callable[[RevisionStatus], bool]:
    def holds(status: RevisionStatus) -> bool:
        running = status.find(digest)
        return running is not None and (running.phase, running.weight) == ("ready", weight)

    return holds


def _is_alone(digest: str) -> Callable[[RevisionStatus], bool]:
    return lambda status: (
        [(revision.digest, revision.phase) for revision in status.revisions] == [(digest, "ready")]
    )


@pytest.fixture
def sample() -> Path:
    """A sample radiograph; the stack has uploaded it under its name."""
    path = choose_sample(find_samples())
    assert path
    return path


def test_a_canary_that_cannot_serve_never_takes_traffic(
    own: RunningStack, bundle: Path, challengers: dict[str, Path], sample: Path
) -> None:
    """A bundle with a wrong digest is not started; a canary that is not ready gets no request."""
    stable = _revision(bundle, 50)
    other = _revision(challengers["nan"], 50).model_copy(update={"bundle": challengers["close"]})
    _want(own, stable, other)
    status = _status(
        own, lambda status: (found := status.find(other.digest)) is not None and found.reason != ""
    )
    assert "digest mismatch" in status.revisions[1].reason
    assert "canary" not in own.record.parts
    with start_steady_load(own, sample) as load:
        never = _revision(challengers["never_ready"], 50)
        _want(own, stable, never)
        _status(
            own, lambda status: (found := status.find(never.digest)) is not None and found.phase == "failed"
        )
        _want(own, _revision(bundle, 100))
        _status(own, _is_alone(stable.digest))
    assert set(load.statuses) == {200}
    assert set(load.versions) == {"0.0.1"}


def test_traffic_is_split_promoted_and_kept_without_a_failed_request(
    own: RunningStack, bundle: Path, challengers: dict[str, Path], sample: Path
) -> None:
    """A canary shares the traffic, is promoted, and is still served after a restart of the stack."""
    champion, challenger = _revision(bundle, 50), _revision(challengers["close"], 50)
    with start_steady_load(own, sample) as load:
        _want(own, champion, challenger)
        _status(own, _shares(50, challenger.digest))
        seen = load.versions["0.1.0-close"]
        while load.versions["0.1.0-close"] < seen + 50:
            time.sleep(0.05)
        _want(own, _revision(challengers["close"], 100))
        _status(own, _is_alone(challenger.digest))
        seen = load.versions["0.0.1"]
        time.sleep(0.5)
        assert load.versions["0.0.1"] == seen
    assert set(load.statuses) == {200}
    assert "canary" not in own.record.parts
    own.stop()
    again = start_stack(own.state.path.parent, bundle, "--no-cache")
    try:
        _status(again, _is_alone(challenger.digest))
        champion = champion.model_copy(update={"weight": 20})
        _want(again, challenger.model_copy(update={"weight": 80}), champion)
        _status(again, _shares(20, champion.digest))
        with start_steady_load(again, sample) as load:
            again.kill("canary")
            _status(again, lambda status: status.revisions[1].phase == "failed")
            after = load.versions.copy()
            time.sleep(0.5)
        assert load.versions["0.0.1"] == after["0.0.1"]
        assert load.versions["0.1.0-close"] > after["0.1.0-close"]
    finally:
        again.stop()
