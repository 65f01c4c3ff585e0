"""The grey-scale pipeline: the result is what pydicom computes for each pixel."""

import io
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from pydicom import uid
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from pleura.radiograph.dicom import read_dicom
from proof.lab.files import MAX_PIXELS, make_dicom, make_gradient
from tests.support.dicom_display import display_dicom, make_lut

LITTLE_AND_BIG = [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian]


def display_by_pydicom(file: bytes) -> NDArray[Any]:
    """The same by the functions of pydicom on every pixel."""
    dataset = pydicom.dcmread(io.BytesIO(file))
    greys = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset).astype(np.float64)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        greys = -greys
    return np.asarray((greys - greys.min()) / max(np.ptp(greys), 1e-9))


@given(arrays(np.uint16, (8, 6)))
def test_monochrome1_is_the_negative_of_monochrome2(pixels: np.ndarray) -> None:
    """Bone is bright, whichever way the detector stored the pixels."""
    light = read_dicom(make_dicom(pixels), MAX_PIXELS).pixels.astype(int)
    dark = read_dicom(make_dicom(pixels, PhotometricInterpretation="MONOCHROME1"), MAX_PIXELS).pixels.astype(
        int
    )
    assert np.abs(dark - (light.max() + light.min() - light)).max() <= 1


@pytest.mark.parametrize(
    "elements",
    [
        {"WindowCenter": 2000, "WindowWidth": 1000},
        {"WindowCenter": [1000, 3000], "WindowWidth": [500, 4000]},
        {"WindowCenter": 2000, "WindowWidth": 1000, "VOILUTFunction": "LINEAR_EXACT"},
        {"WindowCenter": 2000, "WindowWidth": 1000, "VOILUTFunction": "SIGMOID"},
        {"WindowCenter": 100, "WindowWidth": 300, "RescaleSlope": "0.25", "RescaleIntercept": "-200"},
        {"RescaleSlope": "-2", "RescaleIntercept": "7"},
        {"ModalityLUTSequence": make_lut(np.arange(4096)[::-1] * 3, 0)},
        {"VOILUTSequence": make_lut(np.sqrt(np.arange(3000)) * 60, 500)},
        {"VOILUTSequence": make_lut(np.arange(200) % 256, 1000, 10), "WindowCenter": 1, "WindowWidth": 2},
        {"ModalityLUTSequence": make_lut(np.arange(4096) // 2, 0), "WindowCenter": 900, "WindowWidth": 600},
    ],
)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_grey_scale_pipeline_agrees_with_pydicom(elements: dict[str, Any], photometric: str) -> None:
    """The table is within one grey level of computing LUTs and polarity for each pixel."""
    file = make_dicom(PhotometricInterpretation=photometric, BitsStored=12, HighBit=11, **elements)
    np.testing.assert_allclose(display_dicom(file), display_by_pydicom(file), atol=1 / 255)


def test_window_of_zero_width_shows_everything() -> None:
    """Some devices write 0 to say that there is no window."""
    np.testing.assert_array_equal(
        display_dicom(make_dicom(WindowCenter=0, WindowWidth=0)), display_dicom(make_dicom())
    )


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_does_not_change_other_greys(photometric: str) -> None:
    """The area around a radiograph is black in both polarities, whatever value marks it."""
    pixels = make_gradient() + 100
    padded = pixels.copy()
    padded[:, :5] = 65_000
    file = make_dicom(padded, PhotometricInterpretation=photometric, PixelPaddingValue=65_000)
    read = read_dicom(file, MAX_PIXELS).pixels
    assert (read[:, :5] == 0).all()
    left, right = read[30, 5], read[30, -1]
    assert (left < right) == (photometric == "MONOCHROME2")


@pytest.mark.parametrize("syntax", LITTLE_AND_BIG)
def test_signed_padding_range_is_black(syntax: str) -> None:
    """A range of signed padding values is read in every transfer syntax."""
    pixels = make_gradient(dtype="i2") - 2000
    pixels[:3] = -2000
    pixels[3:6] = -1900
    elements = {
        "PixelPaddingValue": -2000,
        "PixelPaddingRangeLimit": -1850,
        "PhotometricInterpretation": "MONOCHROME1",
    }
    assert (read_dicom(make_dicom(pixels, syntax=syntax, **elements), MAX_PIXELS).pixels[:6] == 0).all()
