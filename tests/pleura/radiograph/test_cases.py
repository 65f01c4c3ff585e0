"""Files of kinds that were once read wrongly: each gives its right tensor, or the right refusal."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from pleura.errors import RefusedRadiograph
from pleura.radiograph.reader import read_radiograph
from pleura.radiograph.tensor import to_tensor
from proof.lab.files import MAX_PIXELS

RIGHT = {
    "control": "control",
    "deflated_image_frame": "control",
    "display_shutter": "display_shutter",
    "excess_padding": "control",
    "group_rescale_minus1": "group_rescale_minus1",
    "high_bit_15": "control",
    "htj2k_lossless": "control",
    "j2k16_signed12_unextended": "control",
    "j2k_overlay_in_bit12": "control",
    "jls_zero_before_eoi": "control",
    "jpegxl_lossless": "control",
    "padding_us_signed": "padding_us_signed",
    "rotated_patient_orientation": "control",
    "voi_lut_negative_first_implicit": "voi_lut_negative_first_implicit",
    "window_decimal_comma": "window_decimal_comma",
}
"""For each file the name of its right tensor: the same picture has the same tensor."""
NOT_READ = {"dx_for_processing"}


@pytest.mark.parametrize("name", RIGHT)
def test_a_case_gives_its_right_tensor(name: str, test_data: Path) -> None:
    """The tensor is the one that was computed from the standard."""
    file = (test_data / "cases" / f"{name}.dcm").read_bytes()
    right = cv2.imread(str(test_data / "cases" / f"{RIGHT[name]}.right.png"), cv2.IMREAD_UNCHANGED)
    assert right is not None
    tensor = to_tensor(read_radiograph(file, MAX_PIXELS).pixels)
    assert np.abs(tensor.astype(int) - right.astype(int)).max() <= 3


def test_an_image_for_processing_is_refused(test_data: Path) -> None:
    """The text and the error name the reason."""
    file = (test_data / "cases" / "dx_for_processing.dcm").read_bytes()
    with pytest.raises(RefusedRadiograph, match=r"\(for_processing\)") as refused:
        read_radiograph(file, MAX_PIXELS)
    assert refused.value.reason == "for_processing"


def test_every_case_is_tested(test_data: Path) -> None:
    """No file of the folder is forgotten."""
    assert {path.stem for path in (test_data / "cases").glob("*.dcm")} == {*RIGHT, *NOT_READ}
