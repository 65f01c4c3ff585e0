"""Whole rollouts on a running stack under a steady load: real predictors, Envoy, PostgreSQL."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from pipelines.rollout.ledger import FileLedger
from pipelines.rollout.local import LocalCounters, LocalTarget
from pipelines.rollout.monitor import RolloutMonitor
from pipelines.rollout.plan import Guardrail, RolloutPlan
from pipelines.rollout.rollout import RolloutInProgress, find_unfinished_rollout, roll_out
from pipelines.rollout.state import RolloutOutcome, RolloutParts
from pipelines.rollout.target import ModelChange, ModelReference
from pleura.bundle import verify
from proof.lab.running_stack import RunningStack, build_clean_environment
from tests.support.load import SteadyLoad, start_steady_load

_ROOT = Path(__file__).parents[3]


def _model(bundle: Path) -> ModelReference:
    description, digest = verify(bundle)
    return ModelReference(str(bundle), digest, description.version)


def _parts(stack: RunningStack, change: ModelChange, plan: RolloutPlan, holder: str = "test") -> RolloutParts:
    state = stack.state.path
    monitor = RolloutMonitor(
        stack.journal_dsn, LocalCounters(state, change), change.challenger.digest, change.champion.digest
    )
    return RolloutParts(LocalTarget(state), monitor, FileLedger(state / "rollout.json"), plan, holder)


def _roll_out(stack: RunningStack, challenger: ModelReference, plan: RolloutPlan) -> RolloutOutcome:
    change = ModelChange(LocalTarget(stack.state.path).serving_model(), challenger)
    return roll_out(_parts(stack, change, plan), change)


def _describe(outcome: RolloutOutcome) -> str:
    return "\n".join(f"{event.percent:>4} {event.what}" for event in outcome.history)


def _is_serving(stack: RunningStack, model: ModelReference) -> bool:
    return LocalTarget(stack.state.path).serving_model().digest == model.digest


def test_a_challenger_of_another_digest_is_never_started(
    serving: RunningStack, bundle: Path, challengers: dict[str, Path], quick: RolloutPlan
) -> None:
    """A bundle with another digest than the requested one is refused, and nothing changes."""
    champion, challenger = _model(bundle), _model(challengers["close"])
    requested = ModelReference(challenger.uri, _model(challengers["nan"]).digest, challenger.version)
    outcome = _roll_out(serving, requested, quick)
    assert outcome.result == "refused"
    assert "digest mismatch" in outcome.reason
    assert not (serving.state.path / "revisions.json").exists()
    assert _is_serving(serving, champion)


def test_a_challenger_that_answers_nan_is_rolled_back_at_once(
    serving: RunningStack, bundle: Path, challengers: dict[str, Path], quick: RolloutPlan, sample: Path
) -> None:
    """The first NaN ends the rollout; no client gets a NaN."""
    champion, challenger = _model(bundle), _model(challengers["nan"])
    with start_steady_load(serving, sample) as load:
        outcome = _roll_out(serving, challenger, quick)
        _require_no_more_failures(load)
    assert outcome.result == "rolled_back", _describe(outcome)
    assert "NaN" in outcome.reason
    assert outcome.history[-2].what.startswith("rolling back: ")
    # The next check notices the NaN: whatever the load, few requests reach the canary.
    assert 1 <= load.statuses[502] <= 20
    assert set(load.statuses) == {200, 502}
    assert set(load.versions) == {"0.0.1"}
    assert load.nan_texts == []
    assert _is_serving(serving, champion)


def _require_no_more_failures(load: SteadyLoad) -> None:
    """Wait for more answers, and require that all of them are good."""
    failed, good = load.statuses.total() - load.statuses[200], load.statuses[200]
    end_s = time.monotonic() + 30
    while load.statuses[200] < good + 50 and time.monotonic() < end_s:
        time.sleep(0.05)
    assert load.statuses.total() - load.statuses[200] == failed


def test_a_slow_challenger_is_rolled_back(
    serving: RunningStack, bundle: Path, challengers: dict[str, Path], quick: RolloutPlan, sample: Path
) -> None:
    """A latency far above the margin is a reason as soon as both revisions have enough answers."""
    steps = tuple(step.model_copy(update={"least_answers": 10**6}) for step in quick.steps[3:])
    latency = Guardrail(margin=0.22, scale=0.5, alpha=0.01)
    guardrails = quick.guardrails.model_copy(update={"least_answers": 20, "latency": latency})
    plan = quick.model_copy(update={"steps": steps, "guardrails": guardrails})
    with start_steady_load(serving, sample, clients=4):
        outcome = _roll_out(serving, _model(challengers["slow"]), plan)
    assert outcome.result == "rolled_back", _describe(outcome)
    assert "latency" in outcome.reason
    assert _is_serving(serving, _model(bundle))


def test_a_challenger_that_does_not_start_is_rolled_back(
    serving: RunningStack, bundle: Path, challengers: dict[str, Path], quick: RolloutPlan, sample: Path
) -> None:
    """A canary whose predictor ends at its start gets no traffic; the reason is in the outcome."""
    with start_steady_load(serving, sample) as load:
        outcome = _roll_out(serving, _model(challengers["never_ready"]), quick)
    assert outcome.result == "rolled_back", _describe(outcome)
    assert "did not start" in outcome.reason
    assert set(load.statuses) == {200}
    assert _is_serving(serving, _model(bundle))


def test_a_canary_that_dies_is_rolled_back(
    serving: RunningStack, bundle: Path, challengers: dict[str, Path], quick: RolloutPlan, sample: Path
) -> None:
    """If the predictor of the canary ends within a step, the champion gets all of the traffic."""
    steps = tuple(step.model_copy(update={"least_answers": 10**6}) for step in quick.steps[3:])
    ledger, killed = FileLedger(serving.state.path / "rollout.json"), []

    def kill() -> None:
        _await_step(ledger, 0)
        serving.kill("canary")
        killed.append(True)

    killer = threading.Thread(target=kill)
    with start_steady_load(serving, sample) as load:
        killer.start()
        outcome = _roll_out(serving, _model(challengers["close"]), quick.model_copy(update={"steps": steps}))
        killer.join()
        _require_no_more_failures(load)
    assert killed
    assert outcome.result == "rolled_back", _describe(outcome)
    assert "its predictor ended" in outcome.reason
    assert _is_serving(serving, _model(bundle))


def test_too_few_answers_end_in_a_timeout(
    serving: RunningStack, bundle: Path, challengers: dict[str, Path], quick: RolloutPlan
) -> None:
    """Without traffic the rollout ends after ``most_s``."""
    steps = tuple(step.model_copy(update={"most_s": 1.0}) for step in quick.steps)
    outcome = _roll_out(serving, _model(challengers["close"]), quick.model_copy(update={"steps": steps}))
    assert (outcome.result, outcome.reason) == ("rolled_back", "timeout: 0 of 1 answers within 1 s")
    assert _is_serving(serving, _model(bundle))


def _start(stack: RunningStack, bundle: Path, plan: Path) -> subprocess.Popen[str]:
    arguments = ["--state", str(stack.state.path), "rollout", "--bundle", str(bundle), "--plan", str(plan)]
    return subprocess.Popen(
        [sys.executable, "-m", "pleura.console.app", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
        env=build_clean_environment(),
    )


def _await_step(ledger: FileLedger, step: int, timeout_s: float = 90.0) -> None:
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        state = find_unfinished_rollout(ledger)
        if state and state.step >= step and state.before:
            return
        time.sleep(0.05)
    raise AssertionError(ledger.read())


def test_a_killed_rollout_is_resumed_and_promotes(
    serving: RunningStack, challengers: dict[str, Path], quick: RolloutPlan, sample: Path, tmp_path: Path
) -> None:
    """A rollout that is killed within a step is resumed there; meanwhile no other rollout can start.

    No request fails, and at the end the challenger has all of the traffic.
    """
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(quick.model_dump(mode="json")))
    challenger, ledger = challengers["close"], FileLedger(serving.state.path / "rollout.json")
    champion = LocalTarget(serving.state.path).serving_model()
    with start_steady_load(serving, sample) as load:
        first = _start(serving, challenger, tmp_path / "plan.yaml")
        _await_step(ledger, 2)
        other = ModelChange(champion, _model(challengers["slow"]))
        with pytest.raises(RolloutInProgress, match="is not finished"):
            roll_out(_parts(serving, other, quick, "another"), other)
        same = ModelChange(champion, _model(challenger))
        with pytest.raises(RolloutInProgress, match="another process advances"):
            roll_out(_parts(serving, same, quick, "another"), same)
        first.kill()
        first.communicate()
        document = ledger.read()
        second = _start(serving, challenger, tmp_path / "plan.yaml")
        output, _ = second.communicate(timeout=120)
    assert second.returncode == 0, output
    outcome = RolloutOutcome.model_validate(json.loads(output.splitlines()[-1]))
    assert outcome.result == "promoted"
    assert b'"phase":"watching"' in (document or b"")
    assert "resumed" in [event.what for event in outcome.history]
    shares = [event.percent for event in outcome.history if event.what == "the canary has its share"]
    assert shares == [1, 5, 25, 50, 100]
    assert set(load.statuses) == {200}
    assert _is_serving(serving, _model(challenger))
