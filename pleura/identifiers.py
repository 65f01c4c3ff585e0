"""The identifiers of a radiograph in the hospital's systems: its accession number and its UIDs.

They name a patient's study. The journal keeps them as keyed pseudonyms only, and no log, metric, trace or
error has them.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pleura.errors import InvalidRequest

IDENTIFIER_NAMES: Final = ("accession_number", "study_instance_uid", "sop_instance_uid")
_MAX_ACCESSION_NUMBER: Final = 16
_MAX_UID: Final = 64
_UID: Final = re.compile(r"[0-9]+(?:\.[0-9]+)*")


@dataclass(frozen=True)
class Identifiers:
    """The identifiers of one radiograph. None where an identifier is not known."""

    accession_number: str | None = field(default=None, repr=False)
    study_instance_uid: str | None = field(default=None, repr=False)
    sop_instance_uid: str | None = field(default=None, repr=False)

    def as_mapping(self) -> Mapping[str, str]:
        """Give the known identifiers by their names."""
        values = {name: getattr(self, name) for name in IDENTIFIER_NAMES}
        return {name: value for name, value in values.items() if value is not None}


NO_IDENTIFIERS: Final = Identifiers()


def read_identifier(name: str, text: str) -> str | None:
    """Normalise an identifier, so that two spellings of it give one pseudonym.

    Returns:
        The identifier without the padding that DICOM allows; None if nothing is left.

    Raises:
        InvalidRequest: DICOM does not allow the text as a value. The error does not repeat the text.

    Source:
        DICOM PS3.5 section 6.2, value representations SH and UI.
    """
    return _READERS[name](text)


def _read_accession_number(text: str) -> str | None:
    # form C: an accent may be written as a character of its own
    value = unicodedata.normalize("NFC", text).strip(" ")
    if len(value) > _MAX_ACCESSION_NUMBER or not value.isprintable() or "\\" in value:
        raise InvalidRequest(
            f"'accession_number' must be 1 to {_MAX_ACCESSION_NUMBER} printable characters without backslash"
        )
    return value or None


def _read_uid(name: str, text: str) -> str | None:
    value = text.strip(" \0")
    # zeros that lead a component are not allowed, but are found in files
    if len(value) > _MAX_UID or (value and not _UID.fullmatch(value)):
        raise InvalidRequest(f"{name!r} must be 1 to {_MAX_UID} digits and dots")
    return value or None


_READERS: Final[Mapping[str, Callable[[str], str | None]]] = {
    "accession_number": _read_accession_number,
    "study_instance_uid": lambda text: _read_uid("study_instance_uid", text),
    "sop_instance_uid": lambda text: _read_uid("sop_instance_uid", text),
}
