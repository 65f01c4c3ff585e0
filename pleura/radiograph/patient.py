"""What a DICOM header says about whose radiograph it is: an animal's or a child's.

The values stay in this module, and so in the process that decodes: only the answer to the question leaves.
"""

import re
from datetime import date
from typing import Final

from pydicom.dataset import Dataset

from pleura.radiograph.decimal_strings import read_word

ADULT_YEARS: Final = 18
_AGE: Final = re.compile(r"(\d{1,3})([DWMY]?)")
_PER_YEAR: Final = {"D": 365.25, "W": 365.25 / 7, "M": 12.0, "Y": 1.0, "": 1.0}
_HUMAN: Final = ("HOMO SAPIENS", "HUMAN", "HOMO")
_HUMAN_CODES: Final = frozenset({"337915000", "L-85B00"})
_OF_ANIMALS: Final = ("PatientBreedDescription", "PatientSexNeutered")


def is_animal(dataset: Dataset) -> bool:
    """Say whether the header describes an animal.

    Source:
        DICOM PS3.3 C.7.1.1 (Patient Species, Breed and Sex Neutered: required for an animal).
    """
    species = read_word(dataset, "PatientSpeciesDescription")
    codes = {str(item.get("CodeValue", "")) for item in dataset.get("PatientSpeciesCodeSequence") or ()}
    if (species and species not in _HUMAN) or (codes - {""} and not codes & _HUMAN_CODES):
        return True
    return any(read_word(dataset, keyword) for keyword in _OF_ANIMALS) and species not in _HUMAN


def is_child(dataset: Dataset) -> bool:
    """Say whether the patient was younger than 18 years when the radiograph was made.

    Age is believed before the date of birth, which is often replaced when a file is made anonymous.

    Source:
        DICOM PS3.5 section 6.2, value representations AS and DA; files without a unit mean years.
    """
    match = _AGE.fullmatch(read_word(dataset, "PatientAge"))
    if match:
        return int(match[1]) / _PER_YEAR[match[2]] < ADULT_YEARS
    born, studied = _read_date(dataset, "PatientBirthDate"), _read_date(dataset, "StudyDate")
    if born is None or studied is None or studied < born:
        return False
    years = studied.year - born.year - ((studied.month, studied.day) < (born.month, born.day))
    return years < ADULT_YEARS


def _read_date(dataset: Dataset, keyword: str) -> date | None:
    digits = read_word(dataset, keyword).replace(".", "").replace("-", "")
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return None
