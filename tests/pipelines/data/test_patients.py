"""Pseudonyms are read or refused by line, and a patient is always in the same split."""

from pathlib import Path

import pytest

from pipelines.data.patients import InvalidPatients, read_patients, split_of


def test_splits_are_those_of_the_data_readme(shared_data: Path) -> None:
    """A patient of the shared data falls into the split that its label file names."""
    lines = (shared_data / "labels.csv").read_text().splitlines()
    columns = lines[0].split(",")
    patient, split = columns.index("patient_id"), columns.index("split")
    for line in lines[1::100]:
        cells = line.split(",")
        assert split_of(cells[patient]) == cells[split]


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
def test_a_bad_file_of_pseudonyms_is_told_by_line(tmp_path: Path, text: str, message: str) -> None:
    """And no message tells a patient."""
    (tmp_path / "patients.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidPatients, match=message) as refused:
        read_patients(tmp_path / "patients.csv")
    assert "Miller" not in str(refused.value)


def test_pseudonyms_are_read(tmp_path: Path) -> None:
    """One image id a line; said twice is said once."""
    (tmp_path / "patients.csv").write_text("image_id,patient\na.png,p-1\nb.png,p-1\na.png,p-1\n")
    assert read_patients(tmp_path / "patients.csv") == {"a.png": "p-1", "b.png": "p-1"}
