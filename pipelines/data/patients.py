"""Pseudonyms of patients by image id, which the journal does not hold, and the split of a patient."""

import csv
import hashlib
from pathlib import Path
from typing import Final

from pipelines.data.manifest import Split

_TRAIN_SHARE: Final = 0.80
_TRAIN_AND_VAL_SHARE: Final = 0.88


class InvalidPatients(Exception):
    """The file of pseudonyms cannot be read. The text names the line, and no patient."""


def read_patients(path: Path) -> dict[str, str]:
    """Read a CSV file with the columns ``image_id`` and ``patient``, a pseudonym.

    Raises:
        InvalidPatients: A column or a value is missing, or an image id has two patients.
    """
    patients: dict[str, str] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, strict=True)
            if not {"image_id", "patient"} <= set(rows.fieldnames or ()):
                raise InvalidPatients("line 1: the columns image_id and patient are needed")
            for row in rows:
                image_id, patient = row["image_id"], row["patient"]
                if not image_id or not patient:
                    raise InvalidPatients(f"line {rows.line_num}: the image id or the patient is missing")
                if patients.setdefault(image_id, patient) != patient:
                    raise InvalidPatients(
                        f"line {rows.line_num}: the image id has another patient in an earlier line"
                    )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidPatients(f"the file cannot be read: {type(error).__name__}") from None
    return patients


def assign_split(patient: str) -> Split:
    """Assign a patient to a split: 80 % train, 8 % val, 12 % test. The pseudonym alone decides."""
    # Never change this text: patients would move from the test split of one data set to training in the next.
    share = int(hashlib.sha256(f"split-v1|{patient}".encode()).hexdigest()[:8], 16) / 2**32
    return "train" if share < _TRAIN_SHARE else "val" if share < _TRAIN_AND_VAL_SHARE else "test"
