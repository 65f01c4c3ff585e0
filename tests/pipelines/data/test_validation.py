"""An unsound data set is stopped before its use, and the report says why without naming a patient."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.data.decode import decode_radiograph
from pipelines.data.from_folder import Selection, build_from_folder
from pipelines.data.manifest import DatasetFile, Manifest, NonChestImage, Record
from pipelines.data.store import DatasetStore
from pipelines.data.validation import ShiftReference, UnsoundDataset, require_sound, validate
from pipelines.data.validation_report import Problem, ProblemKind, ValidationReport
from pleura.errors import StoreUnavailable
from pleura.findings import FINDINGS
from pleura.local.dependencies import Server, free_port
from pleura.object_bucket import NoSuchObject, connect
from tests.support.pipelines.datasets import (
    ACCESS_KEY,
    SECRET_KEY,
    manifest_of,
    picture,
    record_of,
    some_rows,
    store_of,
    write_folder,
)

_SPLITS = ("train", "val", "test")


def _files(count: int, first: int = 0) -> list[bytes]:
    return [picture(seed) for seed in range(first, first + count)]


def _sound(files: Sequence[bytes], **changes: object) -> Manifest:
    """A sound data set with a third of the radiographs in each split."""
    return manifest_of(*(record_of(f, _SPLITS[n % 3], **changes) for n, f in enumerate(files)))


def _with(manifest: Manifest, *records: Record) -> Manifest:
    return manifest.model_copy(update={"records": (*manifest.records, *records)})


def _report(
    manifest: Manifest, files: Sequence[bytes], reference: Manifest | None = None
) -> ValidationReport:
    kept = {hashlib.sha256(file).hexdigest(): file for file in files}

    def read(stored: DatasetFile) -> bytes:
        if stored.sha256 not in kept:
            raise NoSuchObject("it is not there")
        return kept[stored.sha256]

    return validate(manifest, read, None if reference is None else ShiftReference(reference, read))


def _of_kind(report: ValidationReport, kind: ProblemKind) -> list[Problem]:
    return [each for each in report.problems if each.kind == kind]


def test_a_sound_data_set_passes() -> None:
    """No problem is found, every radiograph is counted, and the report survives a round trip."""
    files = _files(60)
    report = _report(_sound(files), files)
    require_sound(report)
    assert report.problems == ()
    assert [(each.split, each.radiographs, each.patients) for each in report.splits] == [
        ("train", 20, 20),
        ("val", 20, 20),
        ("test", 20, 20),
    ]
    assert all(sum(each.findings["Edema"]) == 20 for each in report.splits)
    assert ValidationReport.model_validate_json(report.to_json()) == report
    assert "**No serious problem.**" in report.to_markdown()


def test_a_patient_in_two_splits_stops(tmp_path: Path, seaweed: Server) -> None:
    """The validation refuses the folder. Neither the report nor the error names the patient."""
    rows = some_rows(12)
    for row in rows[:2]:
        row["patient_id"] = "Miller-1950"
    store = store_of(seaweed)
    manifest = build_from_folder(store, "ours", write_folder(tmp_path, rows), Selection())
    report = validate(manifest, store.read)
    (found,) = _of_kind(report, "patient_in_two_splits")
    assert (found.severity, found.count) == ("serious", 1)
    with pytest.raises(UnsoundDataset, match="1 patients with radiographs in more than one split") as stop:
        require_sound(report)
    assert stop.value.report == report
    assert all("Miller" not in text for text in (str(stop.value), report.to_json(), report.to_markdown()))


def test_the_same_exposure_in_two_splits_stops(samples: Path) -> None:
    """The exposure may have another name, another encoding, or trimmed edges."""
    file = (samples / "nih_00000362_001.png").read_bytes()
    pixels = decode_radiograph(file)
    same = bytes(cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1])
    near = bytes(cv2.imencode(".jpg", pixels[3:-3, 3:-3])[1])
    files = [*_files(30), file, same, near]
    sound = _with(_sound(files[:30]), record_of(file, "train", labels={"Edema": True}))
    report = _report(_with(sound, record_of(same, "test", labels={"Edema": True})), files)
    (found,) = _of_kind(report, "duplicate_across_splits")
    assert (found.count, found.words) == (1, "pairs of equal radiographs in two splits")
    assert found.examples == (f"{record_of(file).sha256[:12]} ~ {record_of(same).sha256[:12]}",)
    (found,) = _of_kind(_report(_with(sound, record_of(near, "val")), files), "duplicate_across_splits")
    assert (found.severity, found.words) == ("serious", "pairs of nearly equal radiographs in two splits")


def test_duplicates_within_a_split_are_reported(samples: Path) -> None:
    """Such duplicates stop a pipeline only if their labels contradict each other."""
    file = (samples / "nih_00000362_001.png").read_bytes()
    same = bytes(cv2.imencode(".png", decode_radiograph(file), [cv2.IMWRITE_PNG_COMPRESSION, 1])[1])
    files = [*_files(30), file, same]
    sound = _with(_sound(files[:30]), record_of(file, labels={"Edema": True}))
    agreeing = _report(_with(sound, record_of(same, labels={"Edema": True, "Mass": False})), files)
    require_sound(agreeing)
    assert [each.kind for each in agreeing.problems if "pairs" in each.words] == ["duplicate_within_split"]
    with pytest.raises(UnsoundDataset, match="with different labels of a finding"):
        require_sound(_report(_with(sound, record_of(same, labels={"Edema": False})), files))


def test_bad_files_stop(seaweed: Server) -> None:
    """Missing, replaced and unreadable files are reported by digest."""
    store, files = store_of(seaweed), _files(30)
    for file in (*files, b"no radiograph"):
        store.add(file)
    gone, swapped = record_of(picture(100)), record_of(picture(101), key=record_of(files[0]).key)
    manifest = _with(_sound(files), gone, swapped, record_of(b"no radiograph", "val"))
    report = validate(manifest, store.read)
    (damaged,), (unreadable,) = _of_kind(report, "damaged"), _of_kind(report, "unreadable")
    assert damaged.examples == (gone.sha256[:12], swapped.sha256[:12])
    assert unreadable.count == 1
    assert {damaged.severity, unreadable.severity} == {"serious"}


def test_a_non_chest_image_needs_a_licence_and_its_file() -> None:
    """A missing image or licence stops a pipeline. An image that cannot be decoded does not."""
    files = _files(9)
    kept = [*files, b"no picture"]
    digests = [hashlib.sha256(b"no picture").hexdigest(), "1" * 64]
    sound, lost = (NonChestImage(key=each, sha256=each, kind="a leg", licence="CC0") for each in digests)
    manifest = _sound(files)
    alone = manifest.model_copy(update={"strangers": (sound,)})
    assert [each.kind for each in _report(alone, kept).serious] == [
        each.kind for each in _report(manifest, kept).serious
    ]
    without = manifest.model_copy(update={"strangers": (lost.model_copy(update={"licence": ""}),)})
    assert {"damaged", "licence_missing"} <= {each.kind for each in _report(without, kept).serious}


def test_an_unavailable_store_says_nothing_about_the_data() -> None:
    """The error differs from a report of missing files."""
    away = DatasetStore(connect(f"http://127.0.0.1:{free_port()}", ACCESS_KEY, SECRET_KEY), "data")
    with pytest.raises(StoreUnavailable):
        validate(_sound(_files(3)), away.read)


def test_a_missing_licence_stops_unless_it_is_accepted() -> None:
    """A blank licence counts as missing. An accepted problem is still in the report."""
    files = _files(30)
    report = _report(_sound(files, licence=" "), files)
    with pytest.raises(UnsoundDataset, match="30 radiographs without a licence"):
        require_sound(report)
    require_sound(report, accepted=("licence_missing",))
    assert [each.kind for each in report.serious] == ["licence_missing"]


def test_missing_labels_are_reported() -> None:
    """One-sided findings, radiographs and splits without known labels, and empty splits are problems."""
    files = _files(30)
    sound = _sound(files)
    no_hernia = [r.model_copy(update={"labels": {**r.labels, "Hernia": False}}) for r in sound.records]
    report = _report(sound.model_copy(update={"records": tuple(no_hernia)}), files)
    assert [(each.words, each.examples) for each in _of_kind(report, "one_sided")] == [
        (f"findings without a positive radiograph in {split}", ("Hernia",)) for split in _SPLITS
    ]
    unknown = _report(_sound(files, labels={}), files)
    assert [(each.severity, each.count) for each in _of_kind(unknown, "nothing_known")] == [
        ("serious", 1),
        ("serious", 1),
        ("serious", 1),
        ("notable", 30),
    ]
    only_train = manifest_of(*(r for r in sound.records if r.split == "train"))
    assert _of_kind(_report(only_train, files), "empty_split")[0].examples == ("val", "test")


def test_different_prevalences_of_splits_are_reported() -> None:
    """A finding in all of one split and none of another is reported; a difference of a tenth is not."""
    files = _files(90)
    sound = _sound(files)
    changed = [
        r.model_copy(update={"labels": {**r.labels, "Edema": r.split == "test"}}) for r in sound.records
    ]
    report = _report(sound.model_copy(update={"records": tuple(changed)}), files)
    assert [each.examples for each in _of_kind(report, "prevalence")] == [("Edema",)]
    assert not _of_kind(_report(sound, files), "prevalence")


def _darkened(file: bytes) -> bytes:
    pixels = decode_radiograph(file).astype(np.float32) / 255
    return bytes(cv2.imencode(".png", np.rint(255 * pixels**4).astype(np.uint8))[1])


def test_another_hospital_is_a_shift() -> None:
    """Greys, age, view and prevalence are reported as shifts, and unchanged quantities are not."""
    files = _files(120)
    theirs = [_darkened(file) for file in _files(120, first=500)]
    labels = dict.fromkeys(FINDINGS[:7], True) | dict.fromkeys(FINDINGS[7:], False)
    reference = _sound(files)
    moved = _sound(theirs, view="AP", age=80, labels=labels, sex="")
    report = _report(moved, [*files, *theirs], reference)
    serious = {each.quantity for each in report.shifts if each.severity == "serious"}
    assert {"mean", "age", "view", *FINDINGS} <= serious
    assert "aspect" not in serious
    (shift,) = [each for each in _of_kind(report, "shift") if each.severity == "serious"]
    assert shift.count == len(serious)
    assert _of_kind(report, "too_few_to_compare")[0].examples == ("sex",)
    with pytest.raises(UnsoundDataset, match="differ strongly from the reference"):
        require_sound(report)
    assert "| mean |" in report.to_markdown()
    assert json.loads(report.to_json())["reference"] == f"ours@{reference.digest}"


def test_other_patients_of_the_same_hospital_are_not_a_shift() -> None:
    """Two samples of one population pass, although their PSI is not 0."""
    files, others = _files(120), _files(60, first=500)
    report = _report(_sound(others), [*files, *others], _sound(files))
    require_sound(report)
    assert len(report.shifts) == 4 + 1 + 2 + len(FINDINGS)
