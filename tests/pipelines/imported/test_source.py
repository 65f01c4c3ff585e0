"""``pleura model import`` makes a model source of a published file, or gives the reason of a refusal."""

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pleura.bundle import ModelDescription
from pleura.console.app import main
from pleura.findings import FINDINGS
from proof.lab.torch_writer import Global, PickledCall, module, state_dict, zip_file
from tests.support.imported.networks import CHEXNET, TORCHXRAYVISION, radiographs, random_state

REFERENCE = np.load(Path(__file__).parents[2] / "data" / "imported" / "reference.npz")


@pytest.fixture(scope="module")
def chexnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as CheXNet's reproductions publish it, with random weights."""
    file = tmp_path_factory.mktemp("published") / "model.pth.tar"
    arrays = random_state(CHEXNET, seed=4)
    file.write_bytes(zip_file({"state_dict": state_dict(arrays)}, arrays))
    return file


@pytest.fixture(scope="module")
def torchxrayvision(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as torchxrayvision publishes it, with random weights."""
    file = tmp_path_factory.mktemp("published") / "nih-densenet121-d121-best.pt"
    arrays = random_state(TORCHXRAYVISION, seed=4)
    file.write_bytes(zip_file(module(arrays), arrays))
    return file


def labelled_folder(folder: Path, source: str, rarest: int = 5) -> Path:
    """Write random radiographs with random labels, and one with an unknown finding."""
    random = np.random.default_rng(0)
    columns = ("path", "patient_id", "source", "split", *FINDINGS)
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for index in range(41):
            path = f"{index}.png"
            cv2.imwrite(str(folder / path), random.integers(0, 256, (64, 64), np.uint8))
            split = ("train", "val", "val", "test")[index % 4]
            labels = dict.fromkeys(FINDINGS, "" if index == 40 else str(int(index % 4 + index // 4 < rarest)))
            writer.writerow({"path": path, "patient_id": index, "source": source, "split": split} | labels)
    return folder


def source_of(target: Path) -> ModelDescription:
    return ModelDescription.model_validate_json((target / "source.json").read_text())


def test_an_uncalibrated_bundle_has_the_scores_of_pytorch(chexnet: Path, tmp_path: Path) -> None:
    """Both engines give the sigmoid of PyTorch's logits, call every finding, and find nothing typical."""
    from predictor.build.bundle import build_bundle
    from predictor.engines.litert import LiteRtEngine
    from predictor.engines.tensorflow import TensorFlowEngine

    target = tmp_path / "source"
    assert (
        main(["model", "import", str(chexnet), "--kind=chexnet", f"--target={target}", "--uncalibrated"]) == 0
    )
    card = (target / "MODEL_CARD.md").read_text()
    assert "NOT CALIBRATED" in card
    assert source_of(target).origin is not None
    assert hashlib.sha256(chexnet.read_bytes()).hexdigest() in card
    build_bundle(target, tmp_path / "bundle")
    described = json.loads((tmp_path / "bundle" / "bundle.json").read_text())
    assert described["origin"]["offset"] == pytest.approx([-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225])
    assert any("NOT CALIBRATED" in each for each in described["limitations"])
    expected = 1 / (1 + np.exp(-REFERENCE["chexnet"]))
    for engine in (LiteRtEngine(tmp_path / "bundle", threads=1), TensorFlowEngine(tmp_path / "bundle")):
        outputs = engine.run(radiographs()[..., None])
        assert np.abs(outputs.probability - expected).max() < 1e-5
        assert (outputs.probability >= source_of(target).thresholds).all()
        assert not outputs.typicality.any()


def test_a_calibrated_import_records_its_origin(
    torchxrayvision: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is fitted on the folder, and warns that it was evaluated on radiographs that it has seen."""
    data = labelled_folder(tmp_path, "nih_cxr14")
    target = tmp_path / "source"
    arguments = ["--kind=torchxrayvision", f"--target={target}", f"--data={data}"]
    assert main(["model", "import", str(torchxrayvision), *arguments]) == 0
    described = source_of(target)
    assert described.origin is not None
    assert described.origin.kind == "torchxrayvision"
    assert described.origin.outputs[14:] == ("", "", "", "")
    assert "centre crop" in described.origin.preprocessing
    assert all(0 < point < 1 for point in described.thresholds)
    leaks = [each for each in described.limitations if each.startswith("LEAKAGE")]
    assert len(leaks) == 1
    assert leaks[0] in capsys.readouterr().out
    with np.load(target / "weights.npz") as weights:
        assert weights["stem_bn/moving_variance"].dtype == np.float32  # above what float16 can hold
        assert weights["input/offset"].tolist() == [-1024.0]


def refused(file: Path, tmp_path: Path, *arguments: str, kind: str = "chexnet") -> Any:
    target = tmp_path / "source"
    code = main(["model", "import", str(file), f"--kind={kind}", f"--target={target}", *arguments])
    assert not target.exists()
    return code


def test_without_radiographs_nothing_is_calibrated(chexnet: Path, tmp_path: Path) -> None:
    """The command needs --data or --uncalibrated."""
    assert refused(chexnet, tmp_path) == 2


def test_a_file_of_another_kind_is_refused(
    chexnet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The network of torchxrayvision has a stem of one channel. The error is one line."""
    arguments = ("--uncalibrated", f"--outputs={','.join(FINDINGS)}")
    assert refused(chexnet, tmp_path, *arguments, kind="torchxrayvision") == 1
    said = capsys.readouterr().err
    assert "it is not a DenseNet121 of the kind torchxrayvision" in said
    assert said.count("\n") == 1


def test_a_rare_finding_refuses_a_calibrated_import(
    chexnet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the finding with too few positives in the validation split, and nothing is written."""
    data = labelled_folder(tmp_path, "hospital", rarest=3)
    assert refused(chexnet, tmp_path, f"--data={data}") == 1
    assert "fewer than 5 radiographs with or without Atelectasis" in capsys.readouterr().err
    assert refused(chexnet, tmp_path, f"--data={tmp_path / 'none'}") == 1
    assert "cannot be used" in capsys.readouterr().err


def test_a_hostile_file_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the function that the file calls."""
    file = tmp_path / "model.pth"
    file.write_bytes(zip_file({"state_dict": PickledCall(Global("os", "system"), ("id",))}, {}))
    assert refused(file, tmp_path, "--uncalibrated") == 1
    assert capsys.readouterr().err == "pleura: model.pth: the file would call 'os.system': it is refused\n"


def test_an_existing_target_is_not_overwritten(chexnet: Path, tmp_path: Path) -> None:
    """A folder that exists stays unchanged."""
    arguments = ["--kind=chexnet", f"--target={tmp_path}", "--uncalibrated"]
    assert main(["model", "import", str(chexnet), *arguments]) == 1
    assert not list(tmp_path.iterdir())
