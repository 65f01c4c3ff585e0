"""Trainings that end, are killed, or diverge. Each compiles the network, which takes long."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.training.ablation import read_ablation
from pipelines.training.checkpoints import Checkpoints
from pipelines.training.parameters import TrainingStage
from pipelines.training.run_ablation import DifferentArm, run_ablation
from pipelines.training.train_network import TrainingDiverged, train_network
from tests.support.pipelines.datasets import write_folder
from tests.support.pipelines.trainings import BOTH, TINY, arms_file, random_radiographs, random_row


def _killed_after(epochs: int) -> Callable[[Checkpoints, int], None]:
    """Save a checkpoint as usual, and interrupt the training after some epochs."""
    keep = Checkpoints.on_epoch_end

    def kept_and_killed(self: Checkpoints, epoch: int, logs: Any = None) -> None:
        keep(self, epoch, logs)
        if epoch + 1 == epochs:
            raise KeyboardInterrupt

    return kept_and_killed


def test_a_training_that_was_killed_during_a_write_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training killed after an epoch, with half a checkpoint in its folder, ends with the same weights."""
    training, validation = random_radiographs(8), random_radiographs(24, seed=1)
    uninterrupted = train_network(training, validation, TINY, tmp_path / "whole")
    run = tmp_path / "run"
    with monkeypatch.context() as context:
        context.setattr(Checkpoints, "on_epoch_end", _killed_after(1))
        with pytest.raises(KeyboardInterrupt):
            train_network(training, validation, TINY, run)
    (run / "stage0" / "draft.epoch00002.weights.h5").write_bytes(b"half a file")
    network = train_network(training, validation, TINY, run)
    for one, other in zip(network.get_weights(), uninterrupted.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert [path.name for path in run.glob("stage0*")] == ["stage0.weights.h5"]


def test_a_diverged_training_leaves_no_weights(tmp_path: Path) -> None:
    """At an absurd learning rate the training fails, and no later call resumes from its weights."""
    parameters = replace(TINY, stages=[TrainingStage(32, 1, 1e30, 0)])
    with pytest.raises(TrainingDiverged, match="after epoch 1 of stage 1"):
        train_network(random_radiographs(8), random_radiographs(24, seed=1), parameters, tmp_path)
    assert list(tmp_path.rglob("*.weights.h5")) == []


def test_arms_are_trained_and_compared_on_the_same_held_out_patients(tmp_path: Path) -> None:
    """Each arm has a mean AUROC with an interval, and a compared arm has a difference.

    An arm that was trained is not taken for one of the same name with other parameters.
    """
    data = write_folder(tmp_path / "data", [random_row(number) for number in range(48)])
    run = tmp_path / "run"
    ablation = read_ablation(arms_file(tmp_path, BOTH))
    rows = list(csv.DictReader(run_ablation(data, run, ablation).read_text().splitlines()))
    assert [(row["arm"], row["against"]) for row in rows] == [("plain", ""), ("again", "plain")]
    assert rows[0]["difference"] == ""
    assert float(rows[1]["difference"]) == pytest.approx(
        float(rows[1]["auroc"]) - float(rows[0]["auroc"]), abs=2e-4
    )
    for row in rows:
        assert float(row["auroc low"]) < float(row["auroc"]) < float(row["auroc high"])
    before = (run / "plain" / "weights.npz").stat().st_mtime_ns
    run_ablation(data, run, ablation)
    assert (run / "plain" / "weights.npz").stat().st_mtime_ns == before
    other = read_ablation(arms_file(tmp_path, [BOTH[0], BOTH[1] | {"changes": {"seed": 3}}]))
    with pytest.raises(DifferentArm, match="again was begun with other parameters"):
        run_ablation(data, run, other)
