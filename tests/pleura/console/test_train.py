"""``pleura evaluate``, and what ``train`` and ``ablate`` refuse. ``tests/pipelines/training`` trains."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.evaluation.report import EvaluationReport
from pleura.bundle import verify
from pleura.console.app import main
from pleura.findings import FINDINGS
from tests.support.pipelines.datasets import picture, row_of, write_folder


def test_a_bundle_is_evaluated_on_a_folder(tmp_path: Path, bundle: Path) -> None:
    """The test split of its source counts. Another source and a picture of no chest are reported apart."""
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
    report = EvaluationReport.from_json((judged / "figures.json").read_bytes())
    assert report.subject.model_digest == verify(bundle)[1]
    assert report.evaluation.radiographs == 30
    assert report.refusals is not None
    assert [(each.kind, each.radiographs) for each in report.refusals.alike][1:] == [("elsewhere", 3)]
    assert ("no human chest: extremity", 1) in [(e.kind, e.radiographs) for e in report.refusals.unlike]
    assert [found.boxes for found in report.localisation[0].findings if found.finding == "Mass"] == [1]
    assert (judged / "report.html").exists()
    assert (judged / "MODEL_CARD.md").exists()


def test_the_only_source_is_evaluated_without_its_name(tmp_path: Path, bundle: Path) -> None:
    """--source is needed only where a folder has several sources."""
    folder = write_folder(tmp_path / "data", [row_of(f"{number}.png", "test") for number in range(3)])
    arguments = ["evaluate", f"--bundle={bundle}", f"--data={folder}", f"--target={tmp_path}"]
    assert main(arguments) == 0
    report = EvaluationReport.from_json((tmp_path / "figures.json").read_bytes())
    assert report.evaluation.radiographs == 3


def test_a_source_that_a_folder_lacks_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the sources of the split, and what chooses one."""
    rows = [row_of(f"{s}-{n}.png", s, source=n) for n in ("here", "there") for s in ("train", "val", "test")]
    folder = write_folder(tmp_path / "data", rows)
    run, target = f"--run={tmp_path / 'run'}", f"--target={tmp_path / 'target'}"
    for command, chosen_with in (
        (["evaluate", target], "--source"),
        (["evaluate", target, "--source=nowhere"], "--source"),
        (["train", run], "main_source"),
        (["ablate", run], "main_source"),
    ):
        assert main([*command, f"--data={folder}"]) == 1
        error = capsys.readouterr().err
        assert "here, there" in error
        assert chosen_with in error
        assert error.count("\n") == 1


def test_a_broken_radiograph_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the file."""
    rows = [_row(number, split) for number, split in enumerate(("train", "val", "test"))]
    folder = write_folder(tmp_path / "data", rows)
    for command, name in (
        (["train", f"--run={tmp_path / 'run'}"], "0.png"),
        (["evaluate", f"--target={tmp_path / 'target'}"], "2.png"),
    ):
        (folder / name).write_bytes(b"broken")
        assert main([*command, f"--data={folder}"]) == 1
        error = capsys.readouterr().err
        assert f"{name} is not a readable radiograph" in error
        assert error.count("\n") == 1


def _row(number: int, split: str) -> dict[str, str]:
    labels = {finding: str((number // 3 + f) % 2) for f, finding in enumerate(FINDINGS)}
    return row_of(f"{number}.png", split, source="nih_cxr14", **labels)
