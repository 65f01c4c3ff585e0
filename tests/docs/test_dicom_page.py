"""The page about DICOM headers says what the code does."""

import io
import re
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import pydicom
import pytest
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from pleura.errors import PleuraError, RefusalReason, RefusedRadiograph
from pleura.radiograph.dicom import read_dicom
from pleura.radiograph.dicom_file import NOTICED_ATTRIBUTES, READ_ATTRIBUTES
from pleura.radiograph.header_observations import OVERLAY_TAGS
from pleura.radiograph.observations import WarningCode
from pleura.radiograph.transfer_syntaxes import TRANSFER_SYNTAXES
from proof.lab.files import MAX_PIXELS, encode_dicom, make_dicom, make_gradient
from tests.support.dicom_display import display_dicom, make_lut


def make_code(value: str) -> Dataset:
    """Make an item of a code sequence."""
    item = Dataset()
    item.CodeValue = value
    return item


def make_modified_code(value: str, modifier: str) -> Dataset:
    """Make an item of Patient Orientation Code Sequence with its modifier."""
    item = make_code(value)
    item.PatientOrientationModifierCodeSequence = [make_code(modifier)]
    return item


PAGE = Path(__file__).parents[2] / "docs" / "reference" / "dicom.md"
ROW = re.compile(
    r"^\| `(\w+)` \| \((\w{4}),(\w{4})\) \| (applied|refused|noticed|no effect) \|(.*)\|$", re.MULTILINE
)


class AttributeRow(NamedTuple):
    """A row of the table."""

    keyword: str
    group: str
    element: str
    effect: str
    why: str


ROWS = [AttributeRow(*row) for row in ROW.findall(PAGE.read_text())]
WITHOUT_EFFECT = [row for row in ROWS if row.effect == "no effect"]
REFUSED: dict[str, Any] = {
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1",
    "PresentationIntentType": "FOR PROCESSING",
    "PixelPresentation": "COLOR",
    "ShutterOverlayGroup": 0x6000,
    "NumberOfFrames": 2,
    "RecommendedViewingMode": "SUB",
    "MaskSubtractionSequence": [Dataset()],
    "PresentationLUTSequence": make_lut(range(64), 0),
}
CIRCLE: dict[str, Any] = {
    "ShutterShape": "CIRCULAR",
    "CenterOfCircularShutter": [20, 30],
    "RadiusOfCircularShutter": 15,
}
RECTANGLE: dict[str, Any] = {
    "ShutterShape": "RECTANGULAR",
    "ShutterLeftVerticalEdge": 15,
    "ShutterRightVerticalEdge": 45,
    "ShutterUpperHorizontalEdge": 10,
    "ShutterLowerHorizontalEdge": 30,
}
WINDOW: dict[str, Any] = {"WindowCenter": 2000, "WindowWidth": 1000}
GROUP = Dataset()
GROUP.FrameVOILUTSequence = [Dataset()]
GROUP.FrameVOILUTSequence[0].WindowCenter, GROUP.FrameVOILUTSequence[0].WindowWidth = 2000, 1000
APPLIED: dict[str, tuple[dict[str, Any], Any]] = {
    "ImagerPixelSpacing": (CIRCLE, [2, 1]),
    "ShutterShape": ({**RECTANGLE, **CIRCLE}, "RECTANGULAR"),
    "ShutterLeftVerticalEdge": (RECTANGLE, 20),
    "ShutterRightVerticalEdge": (RECTANGLE, 40),
    "ShutterUpperHorizontalEdge": (RECTANGLE, 15),
    "ShutterLowerHorizontalEdge": (RECTANGLE, 25),
    "CenterOfCircularShutter": (CIRCLE, [10, 10]),
    "RadiusOfCircularShutter": (CIRCLE, 5),
    "VerticesOfThePolygonalShutter": (
        {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [1, 1, 1, 50, 40, 1]},
        [1, 1, 1, 50, 40, 50],
    ),
    "ShutterPresentationValue": (CIRCLE, 65_535),
    "PatientOrientation": ({}, ["R", "F"]),
    "SamplesPerPixel": ({}, 3),
    "PhotometricInterpretation": ({}, "MONOCHROME1"),
    "Rows": ({}, 50),
    "Columns": ({}, 50),
    "PixelSpacing": (CIRCLE, [2, 1]),
    "PixelAspectRatio": (CIRCLE, [2, 1]),
    "BitsAllocated": ({}, 8),
    "BitsStored": ({"BitsStored": 12, "HighBit": 11}, 11),
    "HighBit": ({"BitsStored": 11, "HighBit": 11}, 10),
    "PixelRepresentation": ({"BitsStored": 12, "HighBit": 11}, 1),
    "PixelPaddingValue": ({}, 4095),
    "PixelPaddingRangeLimit": ({"PixelPaddingValue": 4000}, 4095),
    "WindowCenter": (WINDOW, 1000),
    "WindowWidth": (WINDOW, 2000),
    "VOILUTFunction": (WINDOW, "SIGMOID"),
    "RescaleIntercept": (WINDOW, "100"),
    "RescaleSlope": (WINDOW, "2"),
    "ModalityLUTSequence": ({}, make_lut(range(2000), 0)),
    "VOILUTSequence": ({}, make_lut(range(2000), 0)),
    "PresentationLUTShape": ({}, "INVERSE"),
    "SharedFunctionalGroupsSequence": ({}, [GROUP]),
    "PerFrameFunctionalGroupsSequence": ({}, [GROUP]),
    "PixelData": ({}, b""),
}
"""For each attribute that is applied: what else the header says, and a value that changes the display."""
NOT_IN_GREY = ("PlanarConfiguration", "ViewPosition")
"""Applied to colours, or given with the radiograph."""
VALUES: dict[str, Any] = {
    "SQ": make_lut(range(64), 0),
    "US": 1,
    "SS": -1,
    "IS": "5",
    "DS": "90",
    "OW": b"\xff" * 300,
    "OB": b"\xff" * 300,
    "CS": "X",
    "LO": "X",
}


def test_the_table_names_all_attributes_that_are_read_and_no_others() -> None:
    """An attribute that the parser drops has no effect; one that it keeps is applied or refused."""
    assert {row.keyword for row in ROWS if row.effect in ("applied", "refused")} == set(READ_ATTRIBUTES)
    noticed = {row.keyword for row in ROWS if row.effect == "noticed"}
    assert noticed == {*NOTICED_ATTRIBUTES, *(keyword_for_tag(tag) for tag in OVERLAY_TAGS)}
    assert not {row.keyword for row in WITHOUT_EFFECT} & {*READ_ATTRIBUTES, *NOTICED_ATTRIBUTES}
    assert len({row.keyword for row in ROWS}) == len(ROWS)
    assert len(ROWS) == PAGE.read_text().count("\n| `")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.keyword)
def test_each_row_has_the_tag_of_the_standard(row: AttributeRow) -> None:
    """Keyword and tag belong together."""
    if row.group.startswith("60"):
        assert dictionary_VR(int(f"6000{row.element}", 16))
    else:
        assert tag_for_keyword(row.keyword) == int(row.group + row.element, 16)


@pytest.mark.parametrize("row", [row for row in ROWS if row.effect == "refused"], ids=lambda row: row.keyword)
def test_what_is_refused_is_refused_with_the_reason_of_the_row(row: AttributeRow) -> None:
    """The row names the reason that the error has."""
    with pytest.raises(RefusedRadiograph) as refused:
        read_dicom(make_dicom(**{row.keyword: REFUSED[row.keyword]}), MAX_PIXELS)
    assert f"`{refused.value.reason}`" in row.why


def test_each_applied_attribute_has_an_example() -> None:
    """A new row needs a new example."""
    assert {row.keyword for row in ROWS if row.effect == "applied"} == {*APPLIED, *NOT_IN_GREY}


@pytest.mark.parametrize("keyword", APPLIED)
def test_what_is_applied_changes_the_display(keyword: str) -> None:
    """The other value is displayed differently, or contradicts the rest of the header."""
    others, value = APPLIED[keyword]
    before = display_dicom(make_dicom(**others))
    try:
        after = display_dicom(make_dicom(**{**others, keyword: value}))
    except PleuraError:
        return
    assert not np.array_equal(before, after)


@pytest.mark.parametrize("row", WITHOUT_EFFECT, ids=lambda row: row.keyword)
def test_what_has_no_effect_changes_nothing(row: AttributeRow) -> None:
    """A file with the attribute is displayed as without it."""
    plain = make_dicom()
    dataset = pydicom.dcmread(io.BytesIO(plain))
    tag = int(row.group.replace("xx", "00") + row.element, 16)
    vr = dictionary_VR(tag).split(" ")[-1]
    dataset.add_new(tag, vr, VALUES[vr])
    extended = encode_dicom(dataset, ExplicitVRLittleEndian)
    assert len(extended) > len(plain)
    np.testing.assert_array_equal(display_dicom(extended), display_dicom(plain))


def test_every_reason_on_the_page_is_one_of_the_closed_list() -> None:
    """A reason is a word in code style that is not a keyword."""
    words = set(re.findall(r"`([a-z]+_[a-z_]+|orientation)`", PAGE.read_text()))
    assert words
    assert words <= {*get_args(RefusalReason), *get_args(WarningCode)}


NOTICED: dict[str, Any] = {
    "Modality": "CT",
    "BodyPartExamined": "HAND",
    "AnatomicRegionSequence": [make_code("85562004")],
    "ViewCodeSequence": [make_code("399173006")],
    "PatientPosition": "HFDL",
    "PatientOrientationCodeSequence": [make_modified_code("102538003", "102536004")],
    "PatientAge": "004Y",
    "PatientBirthDate": "20200101",
    "PatientSpeciesDescription": "Felis catus",
    "PatientSpeciesCodeSequence": [make_code("448169003")],
    "PatientBreedDescription": "Persian",
    "PatientSexNeutered": "ALTERED",
    "BurnedInAnnotation": "YES",
    "LossyImageCompression": "01",
}


@pytest.mark.parametrize("keyword", NOTICED)
def test_what_is_noticed_has_the_code_of_the_row_and_does_not_change_the_picture(keyword: str) -> None:
    """The row names the code of the observation."""
    plain, others = make_gradient(100, 100), {"StudyDate": "20240101"}
    before = read_dicom(make_dicom(plain, **others), MAX_PIXELS)
    after = read_dicom(make_dicom(plain, **others, **{keyword: NOTICED[keyword]}), MAX_PIXELS)
    (row,) = [row for row in ROWS if row.keyword == keyword]
    (observation,) = after.observations
    assert f"`{observation.code}`" in row.why or row.why.strip().startswith("As above")
    assert not before.observations
    np.testing.assert_array_equal(before.pixels, after.pixels)


def test_the_page_names_every_family_of_transfer_syntaxes() -> None:
    """Each supported transfer syntax is named by the first word of its encoding."""
    names = {"native": "Implicit VR", "rle": "RLE", "jpeg": "JPEG Baseline", "jpeg_ls": "JPEG-LS"}
    names |= {
        "jpeg2000": "High-Throughput",
        "jpeg_xl": "JPEG XL",
        "native_frame": "Encapsulated",
        "deflated_frame": "Deflated Image",
    }
    for syntax in TRANSFER_SYNTAXES.values():
        assert names[syntax.encoding] in PAGE.read_text()
