"""The arms of an ablation: reading, killing and comparing them. test_whole_trainings trains them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from pipelines.training.ablation import read_ablation
from pipelines.training.run_ablation import evaluate_arms, is_held_out
from pleura.findings import FINDINGS
from proof.lab.module_process import wait_until
from proof.lab.running_stack import find_descendants, find_survivors
from tests.support.pipelines.datasets import write_folder
from tests.support.pipelines.trainings import BOTH, arms_file, random_row


def test_no_training_outlives_the_command(tmp_path: Path) -> None:
    """When the command is killed, its training processes end too."""
    data = write_folder(tmp_path / "data", [random_row(number) for number in range(48)])
    arguments = ["ablate", f"--data={data}", f"--run={tmp_path / 'run'}"]
    arguments.append(f"--parameters={arms_file(tmp_path, BOTH[:1])}")
    command = subprocess.Popen([sys.executable, "-m", "pleura.console.app", *arguments])
    try:
        wait_until(lambda: len(find_descendants(command.pid)) > 2, 120)  # the tracker of resources is one
        processes = find_descendants(command.pid)
    finally:
        command.kill()
        command.wait()
    assert len(processes) > 1
    assert find_survivors(processes) == []


def test_only_finite_scores_are_compared(tmp_path: Path) -> None:
    """Two arms with the same scores differ by 0 with an interval of width 0. NaN is refused."""
    data, run = (
        write_folder(tmp_path / "data", [random_row(number) for number in range(48)]),
        tmp_path / "run",
    )
    held = [random_row(n) for n in range(48)]
    count = sum(row["split"] == "val" for row in held)
    count += int(is_held_out(np.array([r["patient_id"] for r in held if r["split"] == "train"]), 3).sum())
    for name in ("plain", "again"):
        (run / name).mkdir(parents=True)
        np.save(run / name / "scores.npy", np.random.default_rng(0).normal(size=(count, len(FINDINGS))))
    difference = list(evaluate_arms(data, run, read_ablation(arms_file(tmp_path, BOTH))))[1].difference
    assert difference is not None
    assert (difference.value, difference.low, difference.high) == (0, 0, 0)
    np.save(run / "again" / "scores.npy", np.full((count, len(FINDINGS)), np.nan))
    with pytest.raises(ValueError, match="'again' has scores that are not finite"):
        list(evaluate_arms(data, run, read_ablation(arms_file(tmp_path, BOTH))))


def test_the_patient_alone_decides_what_is_held_out() -> None:
    """All radiographs of a patient are held out or none, and always the same quarter of the patients."""
    patients = np.array([f"patient {n // 3}" for n in range(6000)])
    kept = is_held_out(patients, 4)
    assert kept.reshape(-1, 3).any(axis=1).tolist() == kept.reshape(-1, 3).all(axis=1).tolist()
    assert 0.22 < kept.mean() < 0.28
    np.testing.assert_array_equal(is_held_out(patients[::-1], 4), kept[::-1])


@pytest.mark.parametrize(
    ("arms", "word"),
    [
        ([{"name": "a", "changes": {}}, {"name": "a", "changes": {}}], "two arms have the name 'a'"),
        ([{"name": "a", "changes": {}, "start": "b"}], "starts from 'b'"),
        ([{"name": "a", "changes": {}, "against": "b"}], "compared with 'b'"),
        ([{"name": "a", "changes": {"learning": 1}}], "learning"),
        ([{"name": "a", "changes": {}, "views": 0}], "views"),
    ],
)
def test_invalid_arms_are_refused_before_any_training(
    arms: list[dict[str, Any]], word: str, tmp_path: Path
) -> None:
    """The error names a repeated name, an unknown arm, or an unknown parameter."""
    with pytest.raises((ValueError, ValidationError), match=word):
        read_ablation(arms_file(tmp_path, arms))


def test_the_default_ablation_is_valid() -> None:
    """The command can read its default file."""
    arms = read_ablation(Path(__file__).parents[3] / "pipelines" / "training" / "ablation.yaml").arms
    assert {"scratch", "no-auxiliary", "smoothing"} <= {arm.name for arm in arms}
