"""The command ``python -m pipelines``, as somebody would type it."""

import subprocess
import sys
from pathlib import Path

from pipelines.judgement.dossier import Dossier
from pleura.bundle import verify
from tests.pipelines.datasets import picture, row_of, write_folder


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
    arguments = ["judge", f"--bundle={bundle}", f"--data={folder}", "--source=ours", f"--target={judged}"]
    subprocess.run([sys.executable, "-m", "pipelines", *arguments], check=True)
    dossier = Dossier.from_json((judged / "figures.json").read_bytes())
    assert dossier.subject.model_digest == verify(bundle)[1]
    assert dossier.judgement.radiographs == 30
    assert dossier.refusals is not None
    assert [(each.kind, each.radiographs) for each in dossier.refusals.alike][1:] == [("elsewhere", 3)]
    assert ("no human chest: extremity", 1) in [(e.kind, e.radiographs) for e in dossier.refusals.unlike]
    assert [found.boxes for found in dossier.localisation[0].findings if found.finding == "Mass"] == [1]
    assert (judged / "report.html").exists()
    assert (judged / "MODEL_CARD.md").exists()
