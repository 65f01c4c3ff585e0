"""Pseudonyms are read or refused by line, and a patient is always in the same split."""

import csv
from pathlib import Path

import pytest

from pipelines.data.patients import InvalidPatients, assign_split, read_patients


def test_a_patient_is_in_the_split_that_the_label_file_names(test_data: Path) -> None:
    """The split follows from the patient alone, in every version of this software."""
    with (test_data / "radiographs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["split"] for row in rows} == {"train", "val", "test"}
    for row in rows:
        assert assign_split(row["patient_id"]) == row["split"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,patient\na,p", "line 1"),
        ("image_id,patient\na,", "line 2: .* is missing"),
        ("image_id,patient\na", "line 2: .* is missing"),
        ("image_id,patient\na,Miller\na,Smith", "line 3: .*another patient"),
        ("\xff", "cannot be read"),
    ],
)
def test_an_invalid_file_of_pseudonyms_is_reported_by_line(tmp_path: Path, text: str, message: str) -> None:
    """No message names a patient."""
    (tmp_path / "patients.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidPatients, match=message) as refused:
        read_patients(tmp_path / "patients.csv")
    assert "Miller" not in str(refused.value)


def test_pseudonyms_are_read(tmp_path: Path) -> None:
    """Each line has an image id. A repeated line changes nothing."""
    (tmp_path / "patients.csv").write_text("image_id,patient\na.png,p-1\nb.png,p-1\na.png,p-1\n")
    assert read_patients(tmp_path / "patients.csv") == {"a.png": "p-1", "b.png": "p-1"}
