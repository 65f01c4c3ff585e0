"""The identifiers of a DICOM file's header."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread, uid
from pydicom.dataelem import DataElement

from pleura.errors import UnreadableRadiograph
from pleura.identifiers import NO_IDENTIFIERS, Identifiers
from pleura.radiograph.dicom import read_dicom
from pleura.radiograph.reader import read_radiograph
from proof.lab.files import MAX_PIXELS, encode_dicom, encode_png, make_dicom, make_gradient

ALL: dict[str, Any] = {
    "AccessionNumber": "A-4711",
    "StudyInstanceUID": "1.2.840.1",
    "SOPInstanceUID": "1.2.840.1.1",
}


@pytest.mark.parametrize(
    "syntax",
    [
        uid.ExplicitVRLittleEndian,
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
    ],
)
def test_the_header_gives_the_three_identifiers(syntax: str) -> None:
    """They are read in every way of writing a header."""
    radiograph = read_dicom(make_dicom(syntax=syntax, **ALL), MAX_PIXELS)
    assert radiograph.identifiers == Identifiers("A-4711", "1.2.840.1", "1.2.840.1.1")


def test_an_accession_number_may_have_any_character_set() -> None:
    """Specific Character Set says how the bytes are read."""
    file = make_dicom(SpecificCharacterSet="ISO_IR 192", AccessionNumber="Zürich 7")
    assert read_dicom(file, MAX_PIXELS).identifiers.accession_number == "Zürich 7"
    latin = make_dicom(SpecificCharacterSet="ISO_IR 100", AccessionNumber="Zürich 7")
    assert read_dicom(latin, MAX_PIXELS).identifiers.accession_number == "Zürich 7"


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("AccessionNumber", ""),
        ("AccessionNumber", None),
        ("AccessionNumber", ["A", "B"]),
        ("AccessionNumber", "this number is too long"),
        ("AccessionNumber", DataElement(0x00080050, "SQ", [])),
        ("AccessionNumber", DataElement(0x00080050, "OB", b"\1\2")),
        ("StudyInstanceUID", "1.2.x"),
        ("StudyInstanceUID", DataElement(0x0020000D, "LT", "1.2." + "3" * 70)),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_an_identifier_that_dicom_does_not_allow_is_passed_over(keyword: str, value: Any) -> None:
    """The picture is sound, so it is read."""
    elements = {name: each for name, each in ALL.items() if name != keyword}
    if isinstance(value, DataElement):
        file = make_dicom_with(value, **elements)
    else:
        file = make_dicom(**elements, **({} if value is None else {keyword: value}))
    radiograph = read_dicom(file, MAX_PIXELS)
    assert (radiograph.identifiers.accession_number is None) == (keyword == "AccessionNumber")
    assert (radiograph.identifiers.study_instance_uid is None) == (keyword == "StudyInstanceUID")
    np.testing.assert_array_equal(radiograph.pixels, read_dicom(make_dicom(), MAX_PIXELS).pixels)


def make_dicom_with(element: DataElement, **elements: Any) -> bytes:
    """Make a DICOM file with an element of another value representation."""
    dataset = dcmread(io.BytesIO(make_dicom(**elements)))
    dataset.add(element)
    return encode_dicom(dataset, uid.ExplicitVRLittleEndian)


@given(st.binary(max_size=40), st.sampled_from(["ISO_IR 100", "ISO_IR 192", "ISO 2022 IR 87", "NONE"]))
@settings(max_examples=60, deadline=None)
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_any_bytes_in_place_of_the_identifiers_leave_the_picture_as_it_is(
    content: bytes, character_set: str
) -> None:
    """The bytes give an identifier or none, and never an error."""
    content += b" " * (len(content) % 2)
    placeholder = "Q" * len(content)
    file = make_dicom(AccessionNumber=placeholder[:16], SpecificCharacterSet=character_set)
    file = file.replace(placeholder[:16].encode(), content[:16]) if content else file
    radiograph = read_dicom(file, MAX_PIXELS)
    accession_number = radiograph.identifiers.accession_number
    assert accession_number is None or len(accession_number) <= 16


def test_an_identifier_that_occurs_twice_makes_the_file_unreadable() -> None:
    """Nobody can say which of the two is meant."""
    file = make_dicom(AccessionNumber="A-4711")
    element = b"\x08\x00\x50\x00SH\x06\x00A-4711"
    assert file.count(element) == 1
    with pytest.raises(UnreadableRadiograph, match="twice"):
        read_dicom(file.replace(element, element * 2), MAX_PIXELS)


def test_a_png_has_no_identifiers() -> None:
    """Only DICOM files name their study."""
    assert read_radiograph(encode_png(make_gradient()), MAX_PIXELS).identifiers == NO_IDENTIFIERS
