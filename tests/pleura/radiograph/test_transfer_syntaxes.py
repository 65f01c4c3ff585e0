"""Every transfer syntax of the table gives the pixels that were stored, from encoders of many makers."""

import io
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import jpeg_ls
import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydicom import uid

from pleura.errors import UnreadableRadiograph
from pleura.radiograph.dicom import read_dicom
from pleura.radiograph.tensor import to_tensor
from proof.display.cells import DEFLATED_IMAGE_FRAME, ENCODERS, wrap_stream
from proof.lab.files import (
    MAX_PIXELS,
    encode_dicom,
    encode_jpeg,
    encode_jpeg_lossless,
    make_dicom,
    make_gradient,
)
from proof.lab.pictures import encapsulate_stream
from tests.support.dicom_display import display_dicom

LITTLE_AND_BIG = [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian]
DEFLATED = uid.DeflatedExplicitVRLittleEndian


@pytest.mark.parametrize("syntax", [*LITTLE_AND_BIG, DEFLATED])
@pytest.mark.parametrize(
    "pixels", [make_gradient(), make_gradient(dtype="u1", top=255), make_gradient(dtype="i2") - 2048]
)
def test_uncompressed_syntaxes_give_the_same_pixels(syntax: str, pixels: np.ndarray) -> None:
    """Byte order, explicit VR and deflation do not change what is displayed."""
    expected = (pixels - pixels.min().astype(float)) / np.ptp(pixels)
    np.testing.assert_allclose(display_dicom(make_dicom(pixels, syntax=syntax)), expected, atol=1e-4)


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEG2000Lossless, uid.JPEGLSLossless])
@pytest.mark.parametrize(
    "pixels", [make_gradient(), make_gradient(39, 41), make_gradient(39, 41, dtype="u1", top=255)]
)
def test_lossless_compression_gives_the_same_pixels(syntax: str, pixels: np.ndarray) -> None:
    """Files of pydicom, openjpeg and CharLS come back exactly, also with an odd number of pixels."""
    dataset = pydicom.dcmread(io.BytesIO(make_dicom(pixels)))
    dataset.compress(syntax)
    np.testing.assert_array_equal(
        display_dicom(encode_dicom(dataset, syntax)), display_dicom(make_dicom(pixels))
    )


@given(arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 4095)))
def test_lossless_jpeg_gives_the_same_pixels(pixels: np.ndarray) -> None:
    """Any 12-bit pixels come back exactly."""
    file = encapsulate_stream(encode_jpeg_lossless(pixels, 12), uid.JPEGLosslessSV1, pixels)
    np.testing.assert_array_equal(display_dicom(file), display_dicom(make_dicom(pixels)))


@pytest.mark.parametrize("zeros", [1, 2, 16])
def test_zeros_before_the_end_of_jpeg_ls_are_ignored(zeros: int) -> None:
    """NEMA's own samples have one."""
    pixels = make_gradient()
    stream = bytes(jpeg_ls.encode_array(pixels))
    file = encapsulate_stream(stream[:-2] + bytes(zeros) + stream[-2:], uid.JPEGLSLossless, pixels)
    np.testing.assert_array_equal(display_dicom(file), display_dicom(make_dicom(pixels)))


def test_data_behind_the_end_of_a_jpeg_in_dicom_are_ignored() -> None:
    """An encoder may leave its buffer behind the end."""
    pixels = make_gradient(dtype="u1", top=255)
    file = encapsulate_stream(encode_jpeg(pixels) + b"\xff\xda\0\1" * 99, uid.JPEGBaseline8Bit, pixels)
    assert np.abs(display_dicom(file) - display_dicom(make_dicom(pixels))).max() < 0.05


@pytest.mark.parametrize(
    ("syntax", "text"),
    [
        ("1.2.840.10008.1.2.4.102", r"MPEG-4 .*1\.2\.840\.10008\.1\.2\.4\.102"),
        ("1.2.840.113619.5.2.0000", r"private \(1\.2\.840\.113619\.5\.2\.0000\)"),
        ("1.2.840.10008.1.2.9.999", r"unknown \(1\.2\.840\.10008\.1\.2\.9\.999\)"),
        ("Planted^Name, a patient", "not a valid UID"),
    ],
)
def test_a_transfer_syntax_that_is_not_read_is_named(syntax: str, text: str) -> None:
    """The error gives name and UID, but repeats nothing that is not a UID."""
    named = wrap_stream(b"\0\0", syntax, make_gradient())
    with pytest.raises(UnreadableRadiograph) as error:
        read_dicom(named, MAX_PIXELS)
    assert re.search(text, str(error.value))
    assert "Planted" not in str(error.value)


@pytest.mark.parametrize(
    "change", [lambda s: s[:-5], lambda s: s[:20] + b"\xff" * 9 + s[29:], lambda _: b"\0\0"]
)
def test_a_damaged_deflated_frame_is_unreadable(change: Callable[[bytes], bytes]) -> None:
    """A frame that is cut short or damaged is not read."""
    cells = make_gradient()
    file = wrap_stream(change(ENCODERS[DEFLATED_IMAGE_FRAME](cells, 16)), DEFLATED_IMAGE_FRAME, cells)
    with pytest.raises(UnreadableRadiograph):
        read_dicom(file, MAX_PIXELS)


def test_a_deflated_frame_that_is_too_long_is_unreadable() -> None:
    """Inflating stops behind the pixels."""
    cells = make_gradient()
    stream = ENCODERS[DEFLATED_IMAGE_FRAME](np.zeros((4096, 4096), np.uint16), 16)
    with pytest.raises(UnreadableRadiograph, match="too long"):
        read_dicom(wrap_stream(stream, DEFLATED_IMAGE_FRAME, cells), MAX_PIXELS)


ENCODINGS = (
    "native",
    "rle",
    "jpeg_lossless",
    "jpeg_extended12",
    "jpegls_lossless",
    "j2k_lossless",
    "j2k_lossy",
)

PYDICOM_FILES = Path(pydicom.__file__).parent / "data" / "test_files"

REAL_FILES = {
    "693_J2KI.dcm": (512, 512),
    "CT_small.dcm": (128, 128),
    "ExplVR_BigEnd.dcm": (60, 80),
    "J2K_pixelrep_mismatch.dcm": (512, 512),
    "JPEG-lossy.dcm": (1024, 256),
    "JPEG2000.dcm": (1024, 256),
    "JPEGLSNearLossless_08.dcm": (45, 10),
    "JPEGLSNearLossless_16.dcm": (50, 10),
    "JPGExtended.dcm": (1024, 256),
    "MR_small.dcm": (64, 64),
    "MR_small_RLE.dcm": (64, 64),
    "MR_small_bigendian.dcm": (64, 64),
    "MR_small_implicit.dcm": (64, 64),
    "MR_small_jp2klossless.dcm": (64, 64),
    "MR_small_jpeg_ls_lossless.dcm": (64, 64),
    "SC_jpeg_no_color_transform.dcm": (256, 256),
    "SC_rgb_dcmtk_+eb+cr.dcm": (100, 100),
    "SC_rgb_dcmtk_+eb+cy+s2.dcm": (100, 100),
    "SC_rgb_gdcm_KY.dcm": (100, 100),
    "SC_rgb_jls_lossy_line.dcm": (100, 100),
    "SC_rgb_jpeg_gdcm.dcm": (100, 100),
    "SC_rgb_rle_16bit.dcm": (100, 100),
    "SC_rgb_small_odd_big_endian.dcm": (3, 3),
    "SC_ybr_full_422_uncompressed.dcm": (100, 100),
    "examples_jpeg2k.dcm": (480, 640),
    "examples_overlay.dcm": (300, 484),
    "image_dfl.dcm": (512, 512),
}
"""Files of many makers that come with pydicom, with their rows and columns."""


@pytest.mark.parametrize("name", REAL_FILES)
def test_real_files_of_many_makers_are_read(name: str) -> None:
    """Each file has its size, in every transfer syntax."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns about mistakes of the makers
        read = read_dicom((PYDICOM_FILES / name).read_bytes(), MAX_PIXELS)
    assert read.pixels.shape == REAL_FILES[name]


@pytest.mark.parametrize("form", ENCODINGS)
def test_a_radiograph_has_the_size_and_view_position_of_its_header(form: str, test_data: Path) -> None:
    """The view position is the value of (0018,5101)."""
    read = read_dicom((test_data / "dicom" / f"nih_10bit_{form}.dcm").read_bytes(), MAX_PIXELS)
    assert (read.pixels.shape, read.view_position) == ((512, 512), "PA")


def test_the_dog_of_another_maker_is_read(samples: Path) -> None:
    """A DX image in MONOCHROME1 without a view position."""
    read = read_dicom((samples / "dog_thorax.dcm").read_bytes(), MAX_PIXELS)
    assert (read.pixels.shape, read.view_position) == ((169, 211), None)


def test_the_table_of_encodings_names_every_file(test_data: Path) -> None:
    """The table has every DICOM file of the test data."""
    names = {f"nih_10bit_{form}.dcm" for form in ENCODINGS}
    assert {path.name for path in (test_data / "dicom").glob("*.dcm")} == names


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("rle", 0),
        ("jpegls_lossless", 0),
        ("jpeg_lossless", 0),
        ("j2k_lossless", 0),
        ("jpeg_extended12", 0.1),
        ("j2k_lossy", 0.5),
    ],
)
def test_encodings_of_one_radiograph_agree(name: str, most: float, test_data: Path) -> None:
    """Encoders of several makers wrote the same radiograph; lossy ones differ little on average."""
    tensors = [
        to_tensor(
            read_dicom((test_data / "dicom" / f"nih_10bit_{form}.dcm").read_bytes(), MAX_PIXELS).pixels
        ).astype(int)
        for form in ("native", name)
    ]
    assert np.abs(tensors[0] - tensors[1]).mean() <= most


@pytest.mark.parametrize(
    "path",
    [
        "tests/data/dicom/nih_10bit_j2k_lossy.dcm",
        "tests/data/dicom/nih_10bit_rle.dcm",
        "samples/nih_00000103_000.dcm",
    ],
)
def test_chests_have_the_polarity_of_the_training_set(path: str, samples: Path) -> None:
    """The spine is brighter than the lungs, MONOCHROME1 or 2."""
    tensor = to_tensor(read_dicom((samples.parent / path).read_bytes(), MAX_PIXELS).pixels).astype(float)
    spine = tensor[120:160, 102:122].mean()
    lungs = np.concatenate([tensor[60:110, 45:75], tensor[60:110, 150:180]]).mean()
    assert spine > lungs + 20
