"""``pleura evaluate`` and ``pleura model export``, in processes of their own."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from pipelines.evaluation.report import EvaluationReport
from pipelines.parameters import CHEST_XRAY, read_parameters
from pipelines.training.export import source_weights
from pipelines.training.train import build_training_network
from pleura.bundle import verify
from pleura.findings import FINDINGS
from tests.support.pipelines.datasets import picture, row_of, write_folder


def test_a_bundle_is_judged_on_a_folder(tmp_path: Path, bundle: Path) -> None:
    """The test split of its source counts; another source and what is no chest show what it refuses."""
    rows = [row_of(f"{number}.png", "test", Mass=str(number % 2)) for number in range(30)]
    rows += [row_of(f"other{number}.png", "test", source="elsewhere") for number in range(3)]
    rows += [row_of("learnt.png", "train")]
    folder = write_folder(tmp_path / "data", rows)
    (folder / "nih_boxes.csv").write_text("path,finding,x1024,y1024,w1024,h1024\n1.jpg,Mass,256,512,128,64\n")
    (folder / "dicom").mkdir()
    (folder / "dicom" / "leg.png").write_bytes(picture(99))
    (folder / "dicom" / "text.dcm").write_bytes(b"no picture")
    (folder / "dicom" / "dicom.csv").write_text(
        "file,is_human_chest,body_part,licence\nleg.png,0,EXTREMITY,CC0\ntext.dcm,0,,CC0\n"
    )
    judged = tmp_path / "judged"
    arguments = ["evaluate", f"--bundle={bundle}", f"--data={folder}", "--source=ours", f"--target={judged}"]
    subprocess.run([sys.executable, "-m", "pleura.console.app", *arguments], check=True)
    dossier = EvaluationReport.from_json((judged / "figures.json").read_bytes())
    assert dossier.subject.model_digest == verify(bundle)[1]
    assert dossier.judgement.radiographs == 30
    assert dossier.refusals is not None
    assert [(each.kind, each.radiographs) for each in dossier.refusals.alike][1:] == [("elsewhere", 3)]
    assert ("no human chest: extremity", 1) in [(e.kind, e.radiographs) for e in dossier.refusals.unlike]
    assert [found.boxes for found in dossier.localisation[0].findings if found.finding == "Mass"] == [1]
    assert (judged / "report.html").exists()
    assert (judged / "MODEL_CARD.md").exists()


def test_a_training_from_given_weights_is_exported_with_their_normalisation(tmp_path: Path) -> None:
    """What ``train`` leaves is calibrated, judged and written, on the scale that it was trained on."""
    rows = [_row(number, split) for number, split in enumerate(("train", "val", "test") * 12)]
    folder, run = write_folder(tmp_path / "data", rows), tmp_path / "run"
    run.mkdir()
    start = {"input/scale": np.ones(1, np.float32), "input/offset": np.full(1, 3, np.float32)}
    weights = source_weights(
        build_training_network(read_parameters(CHEST_XRAY).training),
        start | {"head/kernel": np.zeros(1, np.float32)},
    )
    np.savez(run / "weights.npz", **weights)  # type: ignore[arg-type]
    arguments = ["model", "export", f"--data={folder}", f"--run={run}", f"--target={tmp_path / 'source'}"]
    subprocess.run([sys.executable, "-m", "pleura.console.app", *arguments], check=True)
    with np.load(tmp_path / "source" / "weights.npz") as written:
        assert float(written["input/offset"][0]) == 3
        np.testing.assert_array_equal(written["stem_conv/kernel"], weights["stem_conv/kernel"])


def _row(number: int, split: str) -> dict[str, str]:
    labels = np.random.default_rng(number).integers(0, 2, len(FINDINGS))
    named = {finding: str(label) for finding, label in zip(FINDINGS, labels, strict=True)}
    return row_of(f"{number}.png", split, source="nih_cxr14", **named)
