"""DICOM files are displayed as the standard says; a file that contradicts itself is an error."""

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from pleura.errors import PleuraError, RefusedRadiograph, TooLarge, UnreadableRadiograph
from pleura.radiograph.dicom import read_dicom
from pleura.radiograph.jpeg_codestream import read_jpeg_frame
from pleura.radiograph.jpeg_damage import require_undamaged
from pleura.radiograph.tensor import to_tensor
from proof.lab.files import (
    DAMAGE,
    MAX_PIXELS,
    change_coded_data,
    dicom,
    gradient,
    jpeg_lossless,
    lossless_colour_jpeg,
    save_dicom,
)
from proof.lab.pictures import encapsulate_stream

LITTLE_AND_BIG = [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian]
DEFLATED = uid.DeflatedExplicitVRLittleEndian


def display(file: bytes) -> NDArray[Any]:
    """Read a file, and stretch what is displayed to 0 to 1."""
    pixels = read_dicom(file, MAX_PIXELS).pixels.astype(np.float64)
    return np.asarray((pixels - pixels.min()) / max(np.ptp(pixels), 1))


def read_tensor(path: Path) -> NDArray[Any]:
    """Read the tensor of a file."""
    return to_tensor(read_dicom(path.read_bytes(), MAX_PIXELS).pixels)


def display_by_pydicom(file: bytes) -> NDArray[Any]:
    """The same by the functions of pydicom on every pixel."""
    dataset = pydicom.dcmread(io.BytesIO(file))
    greys = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset).astype(np.float64)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        greys = -greys
    return np.asarray((greys - greys.min()) / max(np.ptp(greys), 1e-9))


def make_lut(entries: Any, first: int, bits: int = 16) -> list[Dataset]:
    """Make a LUT sequence."""
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.LUTData = [int(entry) for entry in entries]
    for keyword in ("LUTDescriptor", "LUTData"):
        item[keyword].VR = "US"
    return [item]


@pytest.mark.parametrize("syntax", [*LITTLE_AND_BIG, DEFLATED])
@pytest.mark.parametrize("pixels", [gradient(), gradient(dtype="u1", top=255), gradient(dtype="i2") - 2048])
def test_uncompressed_syntaxes_give_the_same_pixels(syntax: str, pixels: np.ndarray) -> None:
    """Byte order, explicit VR and deflation do not change what is displayed."""
    expected = (pixels - pixels.min().astype(float)) / np.ptp(pixels)
    np.testing.assert_allclose(display(dicom(pixels, syntax=syntax)), expected, atol=1e-4)


@given(arrays(np.uint16, (8, 6)))
def test_monochrome1_is_the_negative_of_monochrome2(pixels: np.ndarray) -> None:
    """Bone is bright, whichever way the detector stored the pixels."""
    light = read_dicom(dicom(pixels), MAX_PIXELS).pixels.astype(int)
    dark = read_dicom(dicom(pixels, PhotometricInterpretation="MONOCHROME1"), MAX_PIXELS).pixels.astype(int)
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
    file = dicom(PhotometricInterpretation=photometric, BitsStored=12, HighBit=11, **elements)
    np.testing.assert_allclose(display(file), display_by_pydicom(file), atol=1 / 255)


def test_window_of_zero_width_shows_everything() -> None:
    """Some devices write 0 to say that there is no window."""
    np.testing.assert_array_equal(display(dicom(WindowCenter=0, WindowWidth=0)), display(dicom()))


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_does_not_change_other_greys(photometric: str) -> None:
    """The area around a radiograph is black in both polarities, whatever value marks it."""
    pixels = gradient() + 100
    padded = pixels.copy()
    padded[:, :5] = 65_000
    file = dicom(padded, PhotometricInterpretation=photometric, PixelPaddingValue=65_000)
    read = read_dicom(file, MAX_PIXELS).pixels
    assert (read[:, :5] == 0).all()
    left, right = read[30, 5], read[30, -1]
    assert (left < right) == (photometric == "MONOCHROME2")


@pytest.mark.parametrize("syntax", LITTLE_AND_BIG)
def test_signed_padding_range_is_black(syntax: str) -> None:
    """A range of signed padding values is read in every transfer syntax."""
    pixels = gradient(dtype="i2") - 2000
    pixels[:3] = -2000
    pixels[3:6] = -1900
    elements = {
        "PixelPaddingValue": -2000,
        "PixelPaddingRangeLimit": -1850,
        "PhotometricInterpretation": "MONOCHROME1",
    }
    assert (read_dicom(dicom(pixels, syntax=syntax, **elements), MAX_PIXELS).pixels[:6] == 0).all()


def test_unused_bits_are_ignored() -> None:
    """12 bits in 16 stay 12 bits, even if an old overlay uses the other bits."""
    pixels = gradient()
    dirty = pixels | np.uint16(0x8000)
    dirty[0, 0] |= 0x3000
    file = dicom(dirty, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(display(file), display(dicom(pixels, BitsStored=12, HighBit=11)))


def test_sign_of_12_bits_is_extended() -> None:
    """A negative value whose unused bits are zero is still negative."""
    signed = gradient(dtype="i2") - 2048
    stored = (signed & 0x0FFF).astype(np.uint16)
    file = dicom(stored, BitsStored=12, HighBit=11, PixelRepresentation=1)
    np.testing.assert_array_equal(display(file), display(dicom(signed)))


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_colour_becomes_grey(photometric: str) -> None:
    """A secondary capture in colour is displayed by its brightness."""
    grey = gradient(dtype="u1", top=255)
    pixels = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    if photometric == "YBR_FULL":
        pixels[..., 1:] = 128
    read = read_dicom(dicom(pixels, PhotometricInterpretation=photometric), MAX_PIXELS).pixels
    assert np.abs(read.astype(int) - grey).max() <= 1


@pytest.mark.parametrize("syntax", [uid.RLELossless, uid.JPEG2000Lossless, uid.JPEGLSLossless])
@pytest.mark.parametrize("pixels", [gradient(), gradient(39, 41), gradient(39, 41, dtype="u1", top=255)])
def test_lossless_compression_gives_the_same_pixels(syntax: str, pixels: np.ndarray) -> None:
    """Files of pydicom, openjpeg and CharLS come back exactly, also with an odd number of pixels."""
    dataset = pydicom.dcmread(io.BytesIO(dicom(pixels)))
    dataset.compress(syntax)
    np.testing.assert_array_equal(display(save_dicom(dataset, syntax)), display(dicom(pixels)))


@given(arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 4095)))
def test_lossless_jpeg_gives_the_same_pixels(pixels: np.ndarray) -> None:
    """Any 12-bit pixels come back exactly."""
    file = encapsulate_stream(jpeg_lossless(pixels, 12), uid.JPEGLosslessSV1, pixels)
    np.testing.assert_array_equal(display(file), display(dicom(pixels)))


def test_file_without_preamble_is_read() -> None:
    """A data set without preamble is read if it holds pixels."""
    whole = dicom(syntax=uid.ImplicitVRLittleEndian)
    dataset = pydicom.dcmread(io.BytesIO(whole))
    bare = io.BytesIO()
    pydicom.dcmwrite(bare, Dataset(dataset), implicit_vr=True, little_endian=True)
    np.testing.assert_array_equal(display(bare.getvalue()), display(whole))


def test_view_position_is_one_of_the_standard_or_none() -> None:
    """Free text, which may contain a name, is dropped."""
    assert read_dicom(dicom(ViewPosition="PA"), MAX_PIXELS).view_position == "PA"
    assert read_dicom(dicom(ViewPosition="MR MILLER"), MAX_PIXELS).view_position is None


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
        read_dicom(dicom(**elements), MAX_PIXELS)
    assert "lanted" not in str(raised.value).lower()


def test_native_pixels_under_a_compressed_syntax_are_an_error() -> None:
    """A file in another transfer syntax than it names is not read as noise."""
    native = dicom()
    name, other = uid.ExplicitVRLittleEndian.encode(), uid.JPEG2000.encode()
    start = native.index(b"\x02\x00\x10\x00UI")
    length = struct.unpack_from("<H", native, start + 6)[0]
    assert native[start + 8 :].startswith(name)
    value = other + b"\0" * (len(other) % 2)
    wrong = bytearray(
        native[: start + 6] + struct.pack("<H", len(value)) + value + native[start + 8 + length :]
    )
    struct.pack_into("<I", wrong, 140, struct.unpack_from("<I", native, 140)[0] + len(value) - length)
    with pytest.raises(UnreadableRadiograph, match="transfer syntax"):
        read_dicom(bytes(wrong), MAX_PIXELS)


def test_deflated_bomb_is_refused() -> None:
    """Inflating stops at the limit."""
    file = dicom(syntax=DEFLATED)
    start = 144 + struct.unpack_from("<I", file, 140)[0]
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = b"".join([*(deflater.compress(b"\0" * 2**24) for _ in range(16)), deflater.flush()])
    with pytest.raises(TooLarge):
        read_dicom(file[:start] + body, MAX_PIXELS)


def test_deep_sequences_are_an_error_or_ignored() -> None:
    """Ten thousand nested sequences are an error, not a crash."""
    nested = b"\x08\x00\x05\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 10_000
    file = dicom()
    start = 144 + struct.unpack_from("<I", file, 140)[0]
    with pytest.raises(UnreadableRadiograph):
        read_dicom(file[:start] + nested + file[start:], MAX_PIXELS)


def test_endless_elements_are_an_error() -> None:
    """Reading stops at the limit of elements."""
    file = dicom()
    start = 144 + struct.unpack_from("<I", file, 140)[0]
    tiny = b"".join(b"\x09\x00" + struct.pack("<H", i % 65536) + b"SH\0\0" for i in range(30_000))
    with pytest.raises(UnreadableRadiograph, match="elements"):
        read_dicom(file[:start] + tiny + file[start:], MAX_PIXELS)


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


@pytest.mark.parametrize("form", ["native", "j2k_lossy", "rle"])
def test_cut_short_anywhere_is_an_error(form: str, test_data: Path) -> None:
    """A DICOM file that is cut short is never read."""
    file = (test_data / "dicom" / f"nih_10bit_{form}.dcm").read_bytes()
    for end in [*range(130, 2000, 97), *range(2000, len(file) - 20, len(file) // 25)]:
        with pytest.raises(UnreadableRadiograph):
            read_dicom(file[:end], MAX_PIXELS)


def _with_changed_data(file: bytes, change: Callable[[bytes], bytes]) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(file))
    stream = next(generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([change_coded_data(stream, change)])
    damaged = io.BytesIO()
    dataset.save_as(damaged)
    return damaged.getvalue()


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("form", ["jpegls_lossless", "jpeg_lossless", "jpeg_extended12"])
def test_damaged_data_of_a_whole_file_are_an_error(form: str, damage: str, test_data: Path) -> None:
    """Where fragments and headers are whole, but not what was coded, no picture is made up."""
    file = (test_data / "dicom" / f"nih_10bit_{form}.dcm").read_bytes()
    assert read_dicom(_with_changed_data(file, bytes), MAX_PIXELS).pixels.any()
    with pytest.raises(UnreadableRadiograph):
        read_dicom(_with_changed_data(file, DAMAGE[damage]), MAX_PIXELS)


def test_damage_of_colours_without_loss_is_an_error() -> None:
    """No libjpeg makes grey of them, but their data can be read."""
    colours = np.zeros((40, 60, 3), np.uint8)
    stream = lossless_colour_jpeg(40, 60)
    assert read_dicom(encapsulate_stream(stream, uid.JPEGLosslessSV1, colours), MAX_PIXELS).pixels.shape == (
        40,
        60,
    )
    for change in DAMAGE.values():
        damaged = encapsulate_stream(change_coded_data(stream, change), uid.JPEGLosslessSV1, colours)
        if len(damaged) < len(encapsulate_stream(stream, uid.JPEGLosslessSV1, colours)):
            with pytest.raises(UnreadableRadiograph):
                read_dicom(damaged, MAX_PIXELS)


def test_a_point_transform_is_no_damage() -> None:
    """Of 12 bits the last nine may be left out, though the data are read as if there were eight."""
    stream = jpeg_lossless(gradient(), 12)
    scan = stream.index(b"\xff\xda")
    require_undamaged(stream[: scan + 9] + b"\x09" + stream[scan + 10 :], read_jpeg_frame(stream))


@given(st.data())
def test_damage_gives_a_radiograph_or_an_error(data: st.DataObject) -> None:
    """Whatever bytes are changed, nothing but our own errors comes out."""
    file = bytearray(dicom(WindowCenter=2000, WindowWidth=1000, VOILUTSequence=make_lut(range(64), 0)))
    for _ in range(data.draw(st.integers(1, 6))):
        file[data.draw(st.integers(128, len(file) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = read_dicom(bytes(file), 10_000_000)
    except PleuraError as error:
        assert "lanted" not in str(error).lower()  # noqa: PT017  # an error is allowed, not demanded
    else:
        assert read.pixels.ndim == 2
