"""Read the identifiers of a radiograph from its DICOM header."""

from collections.abc import Mapping
from typing import Final

from pydicom.dataset import Dataset

from pleura.errors import InvalidRequest
from pleura.identifiers import Identifiers, read_identifier

IDENTIFIER_KEYWORDS: Final[Mapping[str, str]] = {
    "accession_number": "AccessionNumber",
    "study_instance_uid": "StudyInstanceUID",
    "sop_instance_uid": "SOPInstanceUID",
}
"""The attribute of each identifier."""


def read_header_identifiers(dataset: Dataset) -> Identifiers:
    """Read the identifiers. A value that DICOM does not allow is passed over, as the picture is sound."""
    return Identifiers(**{name: _read(dataset, name) for name in IDENTIFIER_KEYWORDS})


def _read(dataset: Dataset, name: str) -> str | None:
    value = dataset.get(IDENTIFIER_KEYWORDS[name])
    if not isinstance(value, str):  # absent, several values, or an element of another kind
        return None
    try:
        return read_identifier(name, value)
    except InvalidRequest:
        return None
