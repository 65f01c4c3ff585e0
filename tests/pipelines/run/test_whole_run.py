"""Whole runs on one machine: promotion, refusal, rollback, and a run that is killed at every step."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from pipelines.run.parameters import SMALL_PARAMETERS
from pipelines.run.step_runner import STEPS
from proof.lab.running_stack import RunningStack, build_clean_environment, run_pleura, start_stack
from tests.support.load import start_steady_load
from tests.support.pipelines.lessons import write_lessons

_RUN_S = 900


@pytest.fixture(scope="module")
def bundle(default_bundle: Path) -> Path:
    return default_bundle


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[RunningStack]:
    running = start_stack(tmp_path_factory.mktemp("stack"), bundle, "--no-cache")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, samples: Path, bundle: Path) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_lessons(folder, samples, bundle)
    return folder


def _parameters(folder: Path, **changes: object) -> Path:
    document = yaml.safe_load(SMALL_PARAMETERS.read_text())
    for name in ("gate", "rollout"):
        if isinstance(document[name], str):
            document[name] = yaml.safe_load((SMALL_PARAMETERS.parent / document[name]).read_text())
    path = folder / "parameters.yaml"
    path.write_text(yaml.safe_dump(document | changes))
    return path


def _command(stack: RunningStack, data: Path, parameters: Path, name: str) -> list[str]:
    arguments = ("pipeline", "run", "--data", str(data), "--parameters", str(parameters), "--name", name)
    return [sys.executable, "-m", "pleura.console.app", "--state", str(stack.state.path), *arguments]


def _run(stack: RunningStack, data: Path, parameters: Path, name: str) -> subprocess.CompletedProcess[str]:
    command = _command(stack, data, parameters, name)
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=_RUN_S, env=build_clean_environment()
    )


def _served(stack: RunningStack) -> str:
    headers = {"authorization": f"Bearer {stack.make_token()}"}
    answer = httpx.get(f"{stack.record.address}/model-info", headers=headers, trust_env=False, timeout=60)
    return str(answer.json()["version"])


def test_a_challenger_that_is_as_good_as_the_champion_is_promoted(
    stack: RunningStack, data: Path, samples: Path, tmp_path: Path
) -> None:
    """Killed at every step, the run resumes there. At the end the new model has the traffic and the alias."""
    parameters = _parameters(tmp_path)
    with start_steady_load(stack, samples / "nih_00000362_001.png", clients=1, pause_s=0.3) as load:
        for step in STEPS:
            _kill_at(step, _command(stack, data, parameters, "good"), stack)
        done = _run(stack, data, parameters, "good")
    assert done.returncode == 0, done.stdout + done.stderr + _log(stack, "good")
    assert "promoted: the challenger is the champion" in done.stdout
    assert load.statuses.keys() == {200}
    assert _served(stack) == "1.2.0"
    listed = run_pleura("--state", str(stack.state.path), "model", "list")
    assert "champion" in next(line for line in listed.stdout.splitlines() if "2" in line.split()[:1])
    steps = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line.startswith("| ")]
    assert steps[1:] == list(STEPS)


def test_a_challenger_that_is_worse_is_refused(stack: RunningStack, data: Path, tmp_path: Path) -> None:
    """A badly trained model is registered with the reasons and gets no traffic; the run exits with 3."""
    before = _served(stack)
    training = {
        "batch_size": 8,
        "stages": [{"size_px": 32, "epochs": 1, "learning_rate": 0.02, "auxiliary_per_epoch": 0}],
    }
    done = _run(stack, data, _parameters(tmp_path, training=training), "bad")
    assert done.returncode == 3, done.stdout + done.stderr + _log(stack, "bad")
    assert "refused: nothing was changed" in done.stdout
    assert "roll_out" not in done.stdout.replace("rollout", "")
    assert _served(stack) == before


def test_a_patient_in_two_splits_stops_the_run(stack: RunningStack, data: Path, tmp_path: Path) -> None:
    """Nothing is trained; the report names the problem but not the patient; the run exits with 1.

    A second run of that name with other parameters is refused.
    """
    mixed = tmp_path / "data"
    shutil.copytree(data, mixed)
    labels = mixed / "labels.csv"
    labels.write_text(labels.read_text().replace("test-3,", "train-3,"))
    done = _run(stack, mixed, _parameters(tmp_path), "mixed")
    assert done.returncode == 1
    assert "failed at validate_data: UnsoundDataset" in done.stdout
    assert "patients with radiographs in more than one split" in done.stdout
    assert "train-3" not in done.stdout
    other = _run(stack, mixed, _parameters(tmp_path, who="somebody else"), "mixed")
    assert other.returncode == 1
    assert other.stderr.splitlines()[-1].endswith("with other parameters: give this one another name")


def test_a_rollback_is_one_command(stack: RunningStack) -> None:
    """The former champion is served first, then the registry follows; the other cannot be promoted."""
    state = str(stack.state.path)
    done = run_pleura("--state", state, "model", "rollback", "--reason", "calls too much")
    assert done.returncode == 0, done.stderr
    assert _served(stack) == "1.1.0"
    assert "served here: version 1" in done.stdout
    again = run_pleura("--state", state, "model", "promote", "2", "--reason", "again")
    assert again.returncode == 1
    assert "rolled back" in again.stderr


def _kill_at(step: str, command: list[str], stack: RunningStack) -> None:
    """Kill the run and its processes as soon as a step has begun."""
    killed = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=build_clean_environment(),
        start_new_session=True,
    )
    end = time.monotonic() + _RUN_S
    while f'"step": "{step}", "event": "step_begun"' not in _log(stack, "good"):
        assert killed.poll() is None, _log(stack, "good")
        assert time.monotonic() < end, _log(stack, "good")
        time.sleep(0.1)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()


def _log(stack: RunningStack, run: str) -> str:
    path = stack.state.path / "pipelines" / run / "log"
    return path.read_text() if path.exists() else ""
