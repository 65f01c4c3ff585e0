"""A folder becomes the data set of its label file, or an error names the invalid line."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.data.from_folder import Selection, build_from_folder, select_files
from pipelines.data.label_files import InvalidLabels, read_labels
from pipelines.data.manifest import Box
from pipelines.data.store import DatasetStore
from pleura.errors import StoreUnavailable
from pleura.findings import FINDINGS
from pleura.local.dependencies import Server, free_port, start_seaweed
from tests.support.pipelines.datasets import (
    ACCESS_KEY,
    SECRET_KEY,
    picture,
    row_of,
    some_rows,
    store_of,
    write_folder,
)

_BOX_HEADER = "path,finding,x1024,y1024,w1024,h1024"
_STRANGER_HEADER = "file,is_human_chest,body_part,licence"


def test_a_folder_becomes_a_data_set(tmp_path: Path, seaweed: Server) -> None:
    """Files are stored by content. Unknown differs from absent. The same folder gives the same data set."""
    rows = [row_of("a.png", Hernia="", sex="", age=""), row_of("b.png", "test", Hernia="1")]
    folder, store = write_folder(tmp_path, rows), store_of(seaweed)
    manifest = build_from_folder(store, "ours", folder, Selection())
    a, b = sorted(manifest.records, key=lambda each: each.split, reverse=True)
    assert (a.split, b.split, a.sex, a.age, b.age) == ("train", "test", "", None, 40)
    assert "Hernia" not in a.labels
    assert b.labels["Hernia"]
    assert a.labels["Edema"] is False
    assert store.read(a) == (folder / "a.png").read_bytes()
    assert build_from_folder(store, "ours", folder, Selection()).digest == manifest.digest


def test_boxes_and_non_chest_images_are_included(tmp_path: Path, seaweed: Server) -> None:
    """A box belongs to the radiograph of its path. Images of human chests are not included."""
    folder, store = write_folder(tmp_path, [row_of("a.png"), row_of("b.png", "test")]), store_of(seaweed)
    (folder / "nih_boxes.csv").write_text(f"{_BOX_HEADER}\nb.jpg,Mass,256,512,128,64\n")
    (folder / "dicom").mkdir()
    (folder / "dicom" / "leg.png").write_bytes(picture(9))
    (folder / "dicom" / "dicom.csv").write_text(
        "file,is_human_chest,body_part,licence\nleg.png,0,EXTREMITY,CC0\nchest.dcm,1,CHEST,CC0\n"
    )
    manifest = build_from_folder(store, "ours", folder, Selection())
    boxes = {record.split: record.boxes for record in manifest.records}
    assert boxes == {
        "train": (),
        "test": (Box(finding="Mass", x=0.25, y=0.5, width=0.125, height=0.0625),),
    }
    (stranger,) = manifest.strangers
    assert (stranger.kind, stranger.licence) == ("no human chest: extremity", "CC0")
    assert store.read(stranger) == picture(9)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nih_boxes.csv", "path,finding\n", "nih_boxes.csv line 1: there is no column x1024"),
        (
            "nih_boxes.csv",
            f"{_BOX_HEADER}\na.jpg,Mass,0,0,2000,9\n",
            "nih_boxes.csv line 2: the box does not lie",
        ),
        (
            "nih_boxes.csv",
            f"{_BOX_HEADER}\na.jpg,Mass,0,0,left,9\n",
            "nih_boxes.csv line 2: the box does not lie",
        ),
        ("nih_boxes.csv", f"{_BOX_HEADER}\na.jpg,Flu,0,0,9,9\n", "line 2: 'Flu' is not a finding"),
        ("nih_boxes.csv", f"{_BOX_HEADER}\nz.jpg,Mass,0,0,9,9\n", "1 radiographs with boxes are not in"),
        ("dicom/dicom.csv", f"{_STRANGER_HEADER}\nz.dcm,0,,CC0\n", "line 2: .*no such file"),
        ("dicom/dicom.csv", f"{_STRANGER_HEADER}\n../../beside.dcm,0,,\n", "line 2: .*no such file"),
    ],
)
def test_invalid_boxes_and_non_chest_images_are_reported_by_line(
    name: str, content: str, message: str, tmp_path: Path, seaweed: Server
) -> None:
    """The error names the file and the line, and no data set is made."""
    folder = write_folder(tmp_path / "data", [row_of("a.png")])
    (folder / "dicom").mkdir()
    (tmp_path / "beside.dcm").write_bytes(picture(9))
    (folder / name).write_text(content)
    with pytest.raises(InvalidLabels, match=message):
        build_from_folder(store_of(seaweed), "ours", folder, Selection())


def _lines(folder: Path) -> list[str]:
    return (folder / "labels.csv").read_text().splitlines()


def _edit(change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        (folder / "labels.csv").write_text("\n".join(change(_lines(folder))))

    return edit


def _replaced(old: str, new: str) -> Callable[[Path], None]:
    return _edit(lambda lines: [lines[0], lines[1].replace(old, new, 1), *lines[2:]])


BAD = {
    "no column": (_edit(lambda lines: [lines[0].replace("Hernia", "X"), *lines[1:]]), "line 1: .*Hernia"),
    "short line": (_edit(lambda lines: [lines[0], lines[1].rpartition(",")[0]]), "line 2: .*cells"),
    "long line": (_edit(lambda lines: [lines[0], lines[1] + ",x"]), "line 2: .*cells"),
    "unknown label": (_replaced(",1,", ",yes,"), "line 2: Atelectasis is neither 1, 0 nor empty"),
    "no such file": (_replaced("a.png", "c.png"), "line 2: there is no such file"),
    "absolute path": (_replaced("a.png", "/etc/passwd"), "line 2: the path leaves the folder"),
    "path upwards": (_replaced("a.png", "../labels.csv"), "line 2: the path leaves the folder"),
    "twice": (_edit(lambda lines: [*lines, lines[1].replace("a.png", "./a.png", 1)]), "line 4: .*line 2"),
    "split": (_replaced(",train,", ",training,"), "line 2: split: "),
    "age": (_replaced(",40", ",old"), "line 2: age: "),
    "sex": (_replaced(",F,", ",female,"), "line 2: sex: "),
    "no patient": (_replaced("patient of a.png", ""), "line 2: patient: "),
    "contradiction": (_replaced("0,,train", "0,1,train"), "line 2: it has a finding, and No_Finding"),
    "quote": (_edit(lambda lines: [*lines, '"x"y']), "cannot be read"),
}


@pytest.mark.parametrize("case", BAD)
def test_an_invalid_label_file_is_reported_by_line(tmp_path: Path, case: str) -> None:
    """Each invalid value stops the reading, and no message names the patient."""
    damage, message = BAD[case]
    folder = write_folder(tmp_path / "x", [row_of("a.png"), row_of("b.png")])
    damage(folder)
    with pytest.raises(InvalidLabels, match=message) as refused:
        read_labels(folder)
    assert "patient of" not in str(refused.value)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    """The target of a path counts, not its spelling."""
    folder = write_folder(tmp_path / "inside", [row_of("a.png")])
    (folder / "a.png").rename(tmp_path / "outside.png")
    (folder / "a.png").symlink_to(tmp_path / "outside.png")
    with pytest.raises(InvalidLabels, match="line 2: the path leaves the folder"):
        read_labels(folder)


def test_a_missing_label_file_is_reported(tmp_path: Path) -> None:
    """A missing file raises the same error as an invalid file."""
    with pytest.raises(InvalidLabels, match=r"labels\.csv cannot be read"):
        read_labels(tmp_path)


def test_a_selection_includes_each_kind_of_radiograph(tmp_path: Path) -> None:
    """A small selection keeps its sources and sizes, has the rarest finding, and depends on its seed only."""
    rows = [row_of(f"{n}.png", ("test", "train")[n % 2]) for n in range(40)]
    rows += [row_of("hernia.png", Atelectasis="0", Hernia="1"), row_of("other.png", source="theirs")]
    files = read_labels(write_folder(tmp_path, rows))
    selection = Selection(("ours",), 4, seed=3)
    drawn = select_files(files, selection)
    assert Counter(each.record.split for each in drawn) == {"train": 4, "test": 4}
    assert {each.record.source for each in drawn} == {"ours"}
    assert any(each.record.labels["Hernia"] for each in drawn)
    assert drawn == select_files(files, selection)
    assert drawn != select_files(files, Selection(("ours",), 4, seed=4))
    with pytest.raises(InvalidLabels, match="no radiograph of sources none"):
        select_files(files, Selection(("none",)))


class _Interrupted(DatasetStore):
    """A store whose server is killed before the fifth radiograph."""

    server: Server
    sent = 0

    def add(self, file: bytes) -> str:
        self.sent += 1
        if self.sent == 5:
            self.server.stop()
        return super().add(file)


def test_a_build_resumes_after_the_store_fails(tmp_path: Path) -> None:
    """The build fails with one clear error. The next build continues and gives the same data set."""
    folder = write_folder(tmp_path / "folder", some_rows(24))
    at, port = tmp_path / "s3", free_port()
    server = start_seaweed(at, port, ACCESS_KEY, SECRET_KEY)
    store = store_of(server)
    interrupted = _Interrupted(store._objects.client, store.bucket)
    interrupted.server = server
    with pytest.raises(StoreUnavailable):
        build_from_folder(interrupted, "ours", folder, Selection())
    server = start_seaweed(at, port, ACCESS_KEY, SECRET_KEY)
    try:
        assert store.references() == []
        manifest = build_from_folder(store, "ours", folder, Selection())
        assert store.get(store.put(manifest)) == manifest
        assert len(manifest.records) == 24
        assert {store.read(each) for each in manifest.records} == {
            (folder / f"{number}.png").read_bytes() for number in range(24)
        }
        assert set(manifest.records[0].labels) == set(FINDINGS)
    finally:
        server.stop()
