"""Accession numbers and UIDs: what DICOM allows, and that no error repeats them."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pleura.errors import InvalidRequest
from pleura.identifiers import IDENTIFIER_NAMES, Identifiers, read_identifier

UID_NAMES = ("study_instance_uid", "sop_instance_uid")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("accession_number", "A-4711", "A-4711"),
        ("accession_number", "  padded ", "padded"),
        ("accession_number", "two words", "two words"),
        ("accession_number", "Zu\u0308rich", "Zürich"),
        ("accession_number", "x" * 16, "x" * 16),
        ("accession_number", "", None),
        ("accession_number", "   ", None),
        ("study_instance_uid", "1.2.840.10008.1", "1.2.840.10008.1"),
        ("study_instance_uid", "1.2.3\0", "1.2.3"),
        ("sop_instance_uid", "1.2.003", "1.2.003"),
        ("sop_instance_uid", "1." * 31 + "12", "1." * 31 + "12"),
        ("sop_instance_uid", "", None),
    ],
)
def test_an_identifier_is_normalised(name: str, text: str, expected: str | None) -> None:
    """Padding is removed, accents are composed, and nothing is none."""
    assert read_identifier(name, text) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("accession_number", "x" * 17),
        ("accession_number", "A\\B"),
        ("accession_number", "A\nB"),
        ("accession_number", "A\0B"),
        ("accession_number", "\ud800"),
        ("study_instance_uid", "1.2.3x"),
        ("study_instance_uid", "1..2"),
        ("study_instance_uid", ".1"),
        ("study_instance_uid", "1."),
        ("study_instance_uid", "1.2\\1.3"),
        ("sop_instance_uid", "1" * 65),
        ("sop_instance_uid", "１.２"),
    ],
)
def test_what_dicom_does_not_allow_is_refused(name: str, text: str) -> None:
    """The error names the member."""
    with pytest.raises(InvalidRequest, match=name):
        read_identifier(name, text)


def _read(name: str, text: str) -> tuple[str | None, str | None]:
    try:
        return read_identifier(name, text), None
    except InvalidRequest as error:
        return None, str(error)


@given(st.sampled_from(IDENTIFIER_NAMES), st.text(max_size=80))
def test_any_text_is_an_identifier_or_refused_without_being_repeated(name: str, text: str) -> None:
    """An accepted identifier is stable, short and printable; an error has the same text for every value."""
    value, error = _read(name, text)
    assert error in (None, _read(name, "\\" * 99)[1])
    if value is not None:
        assert read_identifier(name, value) == value == unicodedata.normalize("NFC", value)
        assert len(value) <= (16 if name == "accession_number" else 64)
        assert value.isprintable()
        assert name not in UID_NAMES or set(value) <= set("0123456789.")


def test_identifiers_are_not_shown() -> None:
    """A log line or traceback that shows the object does not show an identifier."""
    identifiers = Identifiers("A-4711", "1.2.3", None)
    assert "4711" not in repr(identifiers)
    assert identifiers.as_mapping() == {"accession_number": "A-4711", "study_instance_uid": "1.2.3"}
