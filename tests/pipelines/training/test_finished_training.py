"""A training that has ended: the command fits and writes its model, and another training starts from it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipelines.data.labelled_radiographs import read_split
from pipelines.reports.model_card import model_card
from pipelines.training.curves import draw_curves
from pipelines.training.model_source import read_source_weights
from pipelines.training.parameters import (
    CHEST_XRAY,
    read_model_parameters,
)
from pipelines.training.train_network import train_network
from pipelines.training.trained_network import source_arrays
from pipelines.training.training_network import (
    UnusableWeights,
    build_training_network,
    initialise_network,
    load_start_weights,
)
from pleura.bundle import ModelDescription
from pleura.console.app import main
from pleura.findings import FINDINGS
from tests.support.pipelines.datasets import row_of, write_folder
from tests.support.pipelines.trainings import TINY, random_radiographs


@dataclass(frozen=True)
class FinishedRun:
    """A finished training from given weights: its folders, its file of parameters, and its network."""

    data: Path
    start: Path
    parameters: Path
    run: Path
    network: Any


def _write_start(folder: Path) -> Path:
    """Write weights with a normalisation of their own, in full precision."""
    folder.mkdir()
    arrays = {
        "input/scale": np.ones(1, np.float32),
        "input/offset": np.full(1, 3, np.float32),
        "head/kernel": np.zeros(1, np.float32),
    }
    np.savez(folder / "weights.npz", **source_arrays(build_training_network(TINY), arrays))  # type: ignore[arg-type]
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """A network that is trained once for all tests, because to compile it takes most of a minute."""
    folder = tmp_path_factory.mktemp("training")
    splits = [*["train"] * 8, *["val"] * 24, *["test"] * 60]
    rows = []
    for number, split in enumerate(splits):
        labels = {finding: str((number + f) % 2) for f, finding in enumerate(FINDINGS)}
        # A finding that is rare in the test split has no figures.
        rare = {"Hernia": str(int(number % 10 == 0))} if split == "test" else {}
        rows.append(row_of(f"{number}.png", split, source="nih_cxr14", **labels | rare))
    data, start = write_folder(folder / "data", rows), _write_start(folder / "start")
    document = yaml.safe_load(CHEST_XRAY.read_text())
    stage = {"size_px": 32, "epochs": 2, "learning_rate": 0.001, "auxiliary_per_epoch": 0}
    document["training"] |= {"stages": [stage], "batch_size": 8}
    parameters = folder / "parameters.yaml"
    parameters.write_text(yaml.safe_dump(document))
    training, validation = (read_split(data, split, "nih_cxr14") for split in ("train", "val"))
    network = train_network(
        training,
        validation,
        read_model_parameters(parameters).training,
        folder / "run",
        read_source_weights(start),
    )
    return FinishedRun(data, start, parameters, folder / "run", network)


def test_the_command_fits_and_writes_a_finished_training(finished: FinishedRun, tmp_path: Path) -> None:
    """The training is not repeated. The source has its weights, and the normalisation of the start."""
    history, source = (finished.run / "history.csv").read_text(), tmp_path / "source"
    assert len(history.splitlines()) == 1 + 2
    folders = [f"--data={finished.data}", f"--run={finished.run}", f"--target={source}"]
    given = [f"--start={finished.start}", f"--parameters={finished.parameters}"]
    assert main(["train", *folders, *given]) == 0
    assert (finished.run / "history.csv").read_text() == history
    expected = source_arrays(finished.network, read_source_weights(finished.start))
    with np.load(source / "weights.npz") as written:
        assert float(written["input/offset"][0]) == 3
        assert written["head/kernel"].shape == (1024, 14)
        for name, array in expected.items():
            assert written[name].dtype == array.dtype == np.float32
            np.testing.assert_array_equal(written[name], array)
    description = ModelDescription.model_validate_json((source / "source.json").read_text())
    assert description.metrics["test_radiographs"] == 60
    assert [finding.name for finding in description.findings if not finding.is_measured] == ["Hernia"]
    assert "Pleural Thickening" in model_card(description)


def test_a_training_starts_from_the_weights_that_another_has_written(finished: FinishedRun) -> None:
    """The logits are the same. Weights that lack a layer are refused."""
    assert draw_curves(finished.run / "history.csv").count("<svg") == 1
    weights = source_arrays(finished.network, read_source_weights(finished.start))
    started = initialise_network(read_model_parameters(finished.parameters).training, weights)
    small = random_radiographs(2).tensors[:, :32, :32, None].astype(np.float32)
    one, other = (np.asarray(each(small, training=False))[:, :14] for each in (finished.network, started))
    np.testing.assert_allclose(one, other, atol=1e-4)
    with pytest.raises(UnusableWeights, match="stem_conv"):
        load_start_weights(started, {n: w for n, w in weights.items() if not n.startswith("stem_conv")})
