"""What the header says about the display is applied, or the file is refused."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import uid
from pydicom.dataset import Dataset

from pleura.errors import RefusedRadiograph, UnreadableRadiograph
from pleura.radiograph.dicom import read_dicom
from proof.lab.files import MAX_PIXELS, make_dicom, make_gradient
from tests.support.dicom_display import display_dicom, make_lut

WINDOW: dict[str, Any] = {"WindowCenter": 2000, "WindowWidth": 1000}
TWELVE_BITS: dict[str, Any] = {"BitsStored": 12, "HighBit": 11}


def make_item(**elements: Any) -> Dataset:
    """Make a sequence item."""
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item


MACROS: dict[str, tuple[str, dict[str, Any]]] = {
    "a window": ("FrameVOILUTSequence", WINDOW),
    "a VOI LUT": ("FrameVOILUTSequence", {"VOILUTSequence": make_lut(np.sqrt(np.arange(4096)) * 60, 0)}),
    "a rescale": ("PixelValueTransformationSequence", {"RescaleSlope": "-1", "RescaleIntercept": "4095"}),
    "an orientation": ("PatientOrientationInFrameSequence", {"PatientOrientation": ["R", "H"]}),
    "a shutter": (
        "FrameDisplayShutterSequence",
        {
            "ShutterShape": "CIRCULAR",
            "CenterOfCircularShutter": [20, 30],
            "RadiusOfCircularShutter": 15,
        },
    ),
    "a converted polarity": (
        "UnassignedSharedConvertedAttributesSequence",
        {"PresentationLUTShape": "INVERSE"},
    ),
}


@pytest.mark.parametrize("group", ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"])
@pytest.mark.parametrize("name", MACROS)
def test_functional_groups_are_applied_as_if_the_header_said_it(name: str, group: str) -> None:
    """A single frame of an enhanced object has its display in functional groups."""
    macro, elements = MACROS[name]
    polarity: dict[str, Any] = {"PhotometricInterpretation": "MONOCHROME1"} if "polarity" in name else {}
    groups: dict[str, Any] = {group: [make_item(**{macro: [make_item(**elements)]})]}
    grouped = make_dicom(**groups, **polarity)
    plain = display_dicom(make_dicom(**elements, **polarity))
    np.testing.assert_array_equal(display_dicom(grouped), plain)
    assert polarity or not np.array_equal(plain, display_dicom(make_dicom()))


def test_the_group_of_the_frame_replaces_the_shared_group_and_the_header() -> None:
    """The more special one is meant."""
    shared = make_item(FrameVOILUTSequence=[make_item(WindowCenter=1, WindowWidth=2)])
    frame = make_item(FrameVOILUTSequence=[make_item(**WINDOW)])
    file = make_dicom(
        VOILUTSequence=make_lut(range(64), 0),
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=[frame],
    )
    np.testing.assert_array_equal(display_dicom(file), display_dicom(make_dicom(**WINDOW)))


@pytest.mark.parametrize(
    "groups",
    [
        [make_item(), make_item()],
        [make_item(FrameVOILUTSequence=[make_item(**WINDOW), make_item(**WINDOW)])],
        [make_item(FrameVOILUTSequence=[make_item(PhotometricInterpretation="MONOCHROME1")])],
    ],
)
def test_contradicting_groups_are_unreadable(groups: list[Dataset]) -> None:
    """Groups of several frames, two items of a macro, or another polarity."""
    with pytest.raises(UnreadableRadiograph):
        read_dicom(make_dicom(PerFrameFunctionalGroupsSequence=groups), MAX_PIXELS)


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"PresentationIntentType": "FOR PROCESSING"}, "for_processing"),
        ({"SOPClassUID": uid.DigitalXRayImageStorageForProcessing}, "for_processing"),
        ({"ShutterShape": "BITMAP", "ShutterOverlayGroup": 0x6000}, "display_not_supported"),
        ({"ShutterShape": "STAR"}, "display_not_supported"),
        ({"PixelPresentation": "COLOR"}, "display_not_supported"),
        ({"RecommendedViewingMode": "SUB"}, "display_not_supported"),
        ({"PresentationLUTSequence": make_lut(range(64), 0)}, "display_not_supported"),
        ({"PatientOrientation": ["L", "R"]}, "orientation"),
        ({"PatientOrientation": ["L", "SIDE"]}, "orientation"),
        ({"PatientOrientation": "L"}, "orientation"),
        ({"NumberOfFrames": 2}, "several_frames"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "not_a_radiograph"),
        ({"PresentationLUTShape": "INVERSE"}, "uncertain_polarity"),
    ],
)
def test_a_display_that_is_not_applied_is_refused_with_its_reason(
    elements: dict[str, Any], reason: str
) -> None:
    """The reason is a word of a closed list, and the text names it."""
    with pytest.raises(RefusedRadiograph, match=rf"\({reason}\)") as refused:
        read_dicom(make_dicom(**elements), MAX_PIXELS)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (["L", "F"], lambda p: p),
        (["R", "F"], np.fliplr),
        (["L", "H"], np.flipud),
        (["R", "H"], lambda p: np.rot90(p, 2)),
        (["F", "L"], np.transpose),
        (["F", "R"], lambda p: np.rot90(p, 1)),
        (["H", "L"], lambda p: np.rot90(p, -1)),
        (["H", "R"], lambda p: np.rot90(p, 2).T),
        (["A", "F"], lambda p: p),
        (["P", "H"], np.flipud),
        (["LA", "FP"], lambda p: p),
        (["L", "P"], lambda p: p),
        (["", ""], lambda p: p),
    ],
)
def test_patient_orientation_stands_upright(orientation: list[str], turned: Any) -> None:
    """The stored pixels are turned until the head is up and the patient's left is on the right."""
    upright = make_gradient()
    stored = np.ascontiguousarray(turned(upright))
    np.testing.assert_array_equal(
        display_dicom(make_dicom(stored, PatientOrientation=orientation)), display_dicom(make_dicom(upright))
    )


def make_shutter(shape: str) -> dict[str, Any]:
    """Make the elements of a shutter that shows rows 11 to 29 and columns 16 to 44 in the middle."""
    shutters: dict[str, dict[str, Any]] = {
        "RECTANGULAR": {
            "ShutterLeftVerticalEdge": 15,
            "ShutterRightVerticalEdge": 45,
            "ShutterUpperHorizontalEdge": 10,
            "ShutterLowerHorizontalEdge": 30,
        },
        "CIRCULAR": {"CenterOfCircularShutter": [20, 30], "RadiusOfCircularShutter": 15},
        "POLYGONAL": {"VerticesOfThePolygonalShutter": [10, 15, 10, 45, 30, 45, 30, 15]},
    }
    return shutters[shape]


@pytest.mark.parametrize("shape", ["RECTANGULAR", "CIRCULAR", "POLYGONAL"])
def test_a_shutter_hides_what_is_outside(shape: str) -> None:
    """The edge itself is hidden. The grey is a P-value: 0 is black, also in MONOCHROME1."""
    for photometric, level in (("MONOCHROME2", 0), ("MONOCHROME1", 0), ("MONOCHROME2", 65_535)):
        file = make_dicom(
            ShutterShape=shape,
            ShutterPresentationValue=level,
            PhotometricInterpretation=photometric,
            **make_shutter(shape),
            **TWELVE_BITS,
        )
        shown = display_dicom(file)
        row, column = np.arange(1, 41)[:, None], np.arange(1, 61)
        inside = (row > 10) & (row < 30) & (column > 15) & (column < 45)
        if shape == "CIRCULAR":
            inside = (row - 20) ** 2 + (column - 30) ** 2 < 15**2
        assert (shown[~inside] == (level > 0)).all()
        plain = make_gradient() if photometric == "MONOCHROME2" else 4095 - make_gradient()
        visible = shown[inside] - shown[inside].min()
        expected = plain[inside] - float(plain[inside].min())
        np.testing.assert_allclose(visible / visible.max(), expected / expected.max(), atol=1 / 1000)


def test_a_triangle_and_a_rectangle_show_what_is_inside_both() -> None:
    """Several shapes are combined."""
    triangle: dict[str, Any] = {"VerticesOfThePolygonalShutter": [0, 30, 41, 0, 41, 61]}
    file = make_dicom(
        make_gradient() + 100,
        ShutterShape=["RECTANGULAR", "POLYGONAL"],
        **make_shutter("RECTANGULAR"),
        **triangle,
    )
    shown = display_dicom(file) > 0
    assert shown[20, 29]
    assert not shown[12, 16]
    assert not shown[35, 29]


def test_an_incomplete_shutter_is_unreadable() -> None:
    """A circle without its radius hides nobody knows what."""
    with pytest.raises(UnreadableRadiograph, match="shutter"):
        read_dicom(make_dicom(ShutterShape="CIRCULAR", CenterOfCircularShutter=[20, 30]), MAX_PIXELS)


@pytest.mark.parametrize("vr", [b"US", b"SS"])
@pytest.mark.parametrize("value", [-2000, 2096])
def test_padding_has_the_sign_of_the_pixels(vr: bytes, value: int) -> None:
    """A file may write the value as US, as SS, or in the stored bits alone (2096 is -2000 in 12 bits)."""
    pixels = make_gradient(dtype="i2") // 2 - 1000
    pixels[:, :5] = -2000
    elements = {"PhotometricInterpretation": "MONOCHROME1", **TWELVE_BITS}
    file = make_dicom(pixels, PixelPaddingValue=value, **elements)
    written = file.replace(b"\x28\0\x20\x01SS", b"\x28\0\x20\x01" + vr)
    assert (read_dicom(written, MAX_PIXELS).pixels[:, :5] == 0).all()


@pytest.mark.parametrize("vr", [b"US", b"SS"])
def test_the_limit_of_a_padding_range_has_the_sign_of_the_pixels(vr: bytes) -> None:
    """The limit is read as the value is."""
    pixels = make_gradient(dtype="i2") - 1000
    pixels[:, :5] = -1950
    elements: dict[str, Any] = {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1900}
    file = make_dicom(pixels, PhotometricInterpretation="MONOCHROME1", **elements)
    written = file.replace(b"\x28\0\x21\x01SS", b"\x28\0\x21\x01" + vr)
    assert (read_dicom(written, MAX_PIXELS).pixels[:, :5] == 0).all()


@given(st.integers(1, 3000), st.booleans())
def test_padding_behind_the_pixels_is_ignored(length: int, is_constant: bool) -> None:
    """One byte, a word or a sector; whole rows or columns must be empty."""
    pixels = make_gradient()
    length += length % 2
    padding = bytes(length) if is_constant else bytes(i % 251 for i in range(length))
    file = make_dicom(PixelData=pixels.tobytes() + padding)
    if is_constant or (length % 80 and length % 120):
        np.testing.assert_array_equal(display_dicom(file), display_dicom(make_dicom()))
    else:
        with pytest.raises(UnreadableRadiograph, match="announces"):
            read_dicom(file, MAX_PIXELS)


@pytest.mark.parametrize("text", ["2000,0", "2.0E3", " 2000 ", "2000\\10", "+2000", "2000."])
def test_numbers_are_read_as_other_viewers_read_them(text: str) -> None:
    """A decimal comma is a decimal point."""
    file = make_dicom(WindowCenter="1111111", WindowWidth=1000)
    raw = file.replace(b"1111111 ", text.encode().ljust(8))
    np.testing.assert_array_equal(display_dicom(raw), display_dicom(make_dicom(**WINDOW)))


@pytest.mark.parametrize("text", ["1.2.3", "2_000", "0x10", "nan", "inf", "1,5,0", "a"])
def test_what_is_not_a_number_is_unreadable(text: str) -> None:
    """Python reads some of them as numbers; DICOM has no such numbers."""
    file = make_dicom(WindowCenter="1111111", WindowWidth=1000)
    with pytest.raises(UnreadableRadiograph, match="WindowCenter"):
        read_dicom(file.replace(b"1111111 ", text.encode().ljust(8)), MAX_PIXELS)


@pytest.mark.parametrize("keyword", ["VOILUTSequence", "ModalityLUTSequence"])
def test_empty_items_of_a_table_are_passed_over(keyword: str) -> None:
    """A window next to an empty item is applied."""
    table: dict[str, Any] = {keyword: [Dataset(), make_item(LUTExplanation="none")]}
    file = make_dicom(**table, **WINDOW)
    np.testing.assert_array_equal(display_dicom(file), display_dicom(make_dicom(**WINDOW)))


@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian])
def test_a_table_may_begin_below_zero(syntax: str) -> None:
    """Unsigned pixels with a negative intercept give negative inputs; FC00H is then -1024."""
    table = make_lut(np.sqrt(np.arange(4096)) * 60, 64_512)
    elements = {"RescaleIntercept": "-1024", "RescaleSlope": "1", **TWELVE_BITS}
    shown = display_dicom(make_dicom(syntax=syntax, VOILUTSequence=table, **elements))
    greys = np.sqrt(make_gradient().astype(float))
    np.testing.assert_allclose(shown, greys / greys.max(), atol=1 / 255)
