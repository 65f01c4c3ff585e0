"""A stack for rollouts, and a plan that takes seconds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.rollout.plan import RolloutPlan, read_plan
from pleura.local.samples import choose_sample, find_samples
from proof.lab.running_stack import RunningStack, start_stack


@pytest.fixture(scope="session")
def serving(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack that serves the small bundle, without a cache: each request reaches a predictor."""
    running = start_stack(tmp_path_factory.mktemp("rollout"), bundle, "--no-cache")
    yield running
    running.stop()


@pytest.fixture(scope="session")
def sample() -> Path:
    """A sample radiograph; the stack has uploaded it under its name."""
    path = choose_sample(find_samples())
    assert path
    return path


@pytest.fixture(scope="session")
def quick() -> RolloutPlan:
    """The default guardrails, with frequent checks and steps of seconds."""
    default = read_plan()
    steps = tuple(
        step.model_copy(update={"least_answers": least, "least_s": 0.5, "most_s": 60.0})
        for step, least in zip(default.steps, (1, 3, 20, 40, 40), strict=True)
    )
    time_limits = {"check_s": 0.3, "unready_s": 20.0, "settle_s": 60.0, "lease_s": 2.0, "start_s": 90.0}
    return default.model_copy(update={"steps": steps, **time_limits})
