"""DICOM files are displayed as the standard says; a file that contradicts itself is an error."""

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pleura.errors import PleuraError, RefusedRadiograph, TooLarge, UnreadableRadiograph
from pleura.radiograph.dicom import read_dicom
from proof.lab.files import MAX_PIXELS, make_dicom, make_gradient
from tests.support.dicom_display import display_dicom, make_lut


def test_unused_bits_are_ignored() -> None:
    """12 bits in 16 stay 12 bits, even if an old overlay uses the other bits."""
    pixels = make_gradient()
    dirty = pixels | np.uint16(0x8000)
    dirty[0, 0] |= 0x3000
    file = make_dicom(dirty, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(
        display_dicom(file), display_dicom(make_dicom(pixels, BitsStored=12, HighBit=11))
    )


def test_sign_of_12_bits_is_extended() -> None:
    """A negative value whose unused bits are zero is still negative."""
    signed = make_gradient(dtype="i2") - 2048
    stored = (signed & 0x0FFF).astype(np.uint16)
    file = make_dicom(stored, BitsStored=12, HighBit=11, PixelRepresentation=1)
    np.testing.assert_array_equal(display_dicom(file), display_dicom(make_dicom(signed)))


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_colour_becomes_grey(photometric: str) -> None:
    """A secondary capture in colour is displayed by its brightness."""
    grey = make_gradient(dtype="u1", top=255)
    pixels = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    if photometric == "YBR_FULL":
        pixels[..., 1:] = 128
    read = read_dicom(make_dicom(pixels, PhotometricInterpretation=photometric), MAX_PIXELS).pixels
    assert np.abs(read.astype(int) - grey).max() <= 1


def test_view_position_is_one_of_the_standard_or_none() -> None:
    """Free text, which may contain a name, is dropped."""
    assert read_dicom(make_dicom(ViewPosition="PA"), MAX_PIXELS).view_position == "PA"
    assert read_dicom(make_dicom(ViewPosition="MR MILLER"), MAX_PIXELS).view_position is None


REFUSED: list[tuple[dict[str, Any], type[PleuraError]]] = [
    ({"NumberOfFrames": 2}, RefusedRadiograph),
    ({"PhotometricInterpretation": "PALETTE COLOR"}, RefusedRadiograph),
    ({"PresentationLUTShape": "INVERSE"}, RefusedRadiograph),
    ({"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "IDENTITY"}, RefusedRadiograph),
    ({"PhotometricInterpretation": "HSV"}, UnreadableRadiograph),
    ({"PhotometricInterpretation": None}, UnreadableRadiograph),
    ({"PixelData": None}, UnreadableRadiograph),
    ({"PixelData": b""}, UnreadableRadiograph),
    ({"Rows": 0}, UnreadableRadiograph),
    ({"Rows": 41}, UnreadableRadiograph),
    ({"Columns": 59}, UnreadableRadiograph),
    ({"Rows": None}, UnreadableRadiograph),
    ({"SamplesPerPixel": 3}, UnreadableRadiograph),
    ({"BitsAllocated": 32}, UnreadableRadiograph),
    ({"BitsAllocated": 8}, UnreadableRadiograph),
    ({"BitsStored": 17}, UnreadableRadiograph),
    ({"BitsStored": 0}, UnreadableRadiograph),
    ({"HighBit": 3}, UnreadableRadiograph),
    ({"RescaleSlope": "0", "RescaleIntercept": "1"}, UnreadableRadiograph),
    ({"RescaleSlope": "-1"}, RefusedRadiograph),
    ({"RescaleSlope": "-1e300", "RescaleIntercept": "0"}, UnreadableRadiograph),
    ({"WindowCenter": "1e300", "WindowWidth": "1"}, UnreadableRadiograph),
    ({"WindowCenter": 1, "WindowWidth": 2, "VOILUTFunction": "GUESS"}, UnreadableRadiograph),
    ({"Rows": 60_000, "Columns": 60_000}, TooLarge),
]


@pytest.mark.parametrize(("elements", "error"), REFUSED)
def test_contradictions_and_unsupported_values_are_errors(
    elements: dict[str, Any], error: type[PleuraError]
) -> None:
    """A wrong header is an error, and no message names the patient."""
    with pytest.raises(error) as raised:
        read_dicom(make_dicom(**elements), MAX_PIXELS)
    assert "lanted" not in str(raised.value).lower()


@given(st.data())
def test_damage_gives_a_radiograph_or_an_error(data: st.DataObject) -> None:
    """Changed bytes raise only errors of the family PleuraError."""
    file = bytearray(make_dicom(WindowCenter=2000, WindowWidth=1000, VOILUTSequence=make_lut(range(64), 0)))
    for _ in range(data.draw(st.integers(1, 6))):
        file[data.draw(st.integers(128, len(file) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = read_dicom(bytes(file), 10_000_000)
    except PleuraError as error:
        assert "lanted" not in str(error).lower()  # noqa: PT017  # an error is allowed, not demanded
    else:
        assert read.pixels.ndim == 2
