"""The parts of a run that need no stack: its parameters, the compiled pipeline and the report."""

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.reports.run_summary import RunSummary, html_summary, markdown_summary
from pipelines.run.parameters import (
    DEFAULT_PARAMETERS,
    SMALL_PARAMETERS,
    InvalidParameters,
    RunParameters,
    read_parameters,
)
from pipelines.run.records import StepFailure, StepResult
from pipelines.run.step_output import describe_log_line
from pipelines.run.step_runner import STEPS
from pleura.console.app import main

_DATA_SET = "ours@" + "a" * 64


def _results(*steps: tuple[str, str]) -> list[StepResult]:
    return [StepResult(step=step, verdict=verdict, words="<b>", seconds=1) for step, verdict in steps]


@pytest.mark.parametrize("path", [DEFAULT_PARAMETERS, SMALL_PARAMETERS], ids=lambda path: path.stem)
def test_the_shipped_parameters_survive_a_round_trip(path: Path) -> None:
    """The document includes the named files; read again, the parameters have the same digest."""
    parameters = read_parameters(path, data_set=_DATA_SET)
    again = RunParameters.from_json(parameters.to_json())
    assert again == parameters
    assert again.digest == parameters.digest
    assert again.rollout.steps[-1].percent == 100


def test_the_default_parameters_are_those_of_the_design() -> None:
    """The canary gets 1, 5, 25, 50 and 100 percent, and the gate protocol is clinical."""
    parameters = read_parameters(DEFAULT_PARAMETERS, data_set=_DATA_SET)
    assert [step.percent for step in parameters.rollout.steps] == [1, 5, 25, 50, 100]
    assert parameters.gate.is_clinical
    assert not read_parameters(SMALL_PARAMETERS, data_set=_DATA_SET).gate.is_clinical


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"colour": "red"}, "colour"),
        ({"rollout": "nowhere.yaml"}, "cannot be read"),
        ({"replay": {"days": 0, "most": 1, "unshown": "stop"}}, "replay.days"),
        ({"gate": {"name": "x"}}, "gate"),
        ({"accepted": ["everything"]}, "accepted"),
        ({"data_set": "ours"}, "data_set"),
        ({"data_set": ""}, "no data set is given"),
    ],
    ids=["unknown", "missing file", "no days", "half a protocol", "no problem", "no digest", "no data"],
)
def test_wrong_parameters_are_named(tmp_path: Path, change: dict[str, object], words: str) -> None:
    """The error names the file or the parameter."""
    document = yaml.safe_load(SMALL_PARAMETERS.read_text()) | {"data_set": _DATA_SET} | change
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(InvalidParameters, match=words):
        read_parameters(tmp_path / "wrong.yaml")


def test_the_pipeline_compiles_for_a_server(tmp_path: Path) -> None:
    """Each step has resources, secrets and a retry, no step is cached, and the report is always written."""
    assert main(["pipeline", "compile", str(tmp_path / "pipeline.yaml")]) == 0
    spec, platform = yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text())
    tasks = _tasks(spec)
    names = {task["taskInfo"]["name"] for task in tasks if "taskInfo" in task}
    assert {"validate_data", "train", "judge", "gate", "register", "replay", "roll_out", "conclude"} <= names
    steps = [
        task for task in tasks if task["componentRef"]["name"].startswith(("comp-perform", "comp-report"))
    ]
    assert all("retryPolicy" in task and not task.get("cachingOptions") for task in steps)
    policies = [task.get("triggerPolicy", {}).get("strategy") for task in steps]
    assert policies.count("ALL_UPSTREAM_TASKS_COMPLETED") == 1
    executors = spec["deploymentSpec"]["executors"]
    assert all("resources" in executor["container"] for executor in executors.values())
    kubernetes = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert kubernetes.keys() == executors.keys()
    assert all({"secretAsEnv", "secretAsVolume", "pvcMount"} <= each.keys() for each in kubernetes.values())


def test_the_steps_run_in_the_image_that_is_named(tmp_path: Path) -> None:
    """With ``--image`` each step has that image, and no step has the one without a registry."""
    image = f"registry.example/pleura-pipelines@sha256:{'a' * 64}"
    assert main(["pipeline", "compile", str(tmp_path / "pipeline.yaml"), "--image", image]) == 0
    images = re.findall(r"image: (\S+)", (tmp_path / "pipeline.yaml").read_text())
    assert len(images) > 1
    assert set(images) == {image}


@pytest.mark.parametrize("step", STEPS)
def test_every_step_is_a_function(step: str) -> None:
    """The runner names the steps as text, so that a rename could miss one."""
    module, function = STEPS[step]
    assert callable(getattr(importlib.import_module(f"pipelines.run.{module}"), function))


def _tasks(spec: dict[str, Any]) -> list[dict[str, Any]]:
    dags = [spec["root"], *spec["components"].values()]
    return [task for dag in dags if "dag" in dag for task in dag["dag"]["tasks"].values()]


@pytest.mark.parametrize(
    ("done", "words"),
    [
        (_results(), "nothing was done"),
        (_results(("validate_data", "sound"), ("train", "trained")), "interrupted after train"),
        (_results(("gate", "refused"), ("register", "refused")), "refused"),
        (_results(("register", "challenger"), ("replay", "failed")), "stopped by the replay"),
        (_results(("replay", "passed"), ("roll_out", "rolled_back")), "rolled back"),
        (_results(("roll_out", "promoted")), "interrupted after roll_out"),
        (_results(("roll_out", "promoted"), ("conclude", "promoted")), "promoted"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_outcome_of_a_run_is_one_line(done: list[StepResult], words: str) -> None:
    """Each outcome has its text, and only a promotion is called a promotion."""
    summary = RunSummary("mine", done)
    assert summary.outcome.startswith(words)
    assert f"**{summary.outcome}**" in markdown_summary(summary)
    assert "<b>" not in html_summary(summary)


def test_a_failure_is_reported_with_its_reason() -> None:
    """The report of a failed run names the step and the reason."""
    summary = RunSummary(
        "mine", _results(("validate_data", "sound")), StepFailure(step="train", reason="Diverged: nan")
    )
    assert "failed at train: Diverged: nan" in markdown_summary(summary)
    assert "failed at train: Diverged: nan" in html_summary(summary)


def test_only_events_of_steps_are_described() -> None:
    """A log line about a step is described; all other lines stay in the file."""
    assert (
        describe_log_line(json.dumps({"event": "step_done", "step": "gate", "verdict": "refused"}))
        == "  gate: refused"
    )
    assert describe_log_line(json.dumps({"event": "something", "step": "gate"})) == ""
    assert describe_log_line("Traceback (most recent call last):") == ""
