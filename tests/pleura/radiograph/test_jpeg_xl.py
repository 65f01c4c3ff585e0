"""JPEG XL is read in each of its forms, and its header is compared with that of the DICOM file first."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from imagecodecs import jpegxl_encode, jpegxl_encode_jpeg
from pydicom import uid

from pleura.errors import UnreadableRadiograph
from pleura.radiograph.dicom import read_dicom
from pleura.radiograph.jpeg_xl import read_jpeg_xl_size
from proof.display.cells import JPEG_XL_LOSSLESS, wrap_stream
from proof.lab.files import MAX_PIXELS, encode_jpeg, make_dicom, make_gradient
from proof.lab.pictures import encapsulate_stream, make_deep_picture
from tests.support.dicom_display import display_dicom

JPEG_RECOMPRESSION, JPEG_XL = "1.2.840.10008.1.2.4.111", "1.2.840.10008.1.2.4.112"


def _encode(pixels: np.ndarray, **options: Any) -> bytes:
    return bytes(jpegxl_encode(pixels, **options))


@given(arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 4095)))
def test_lossless_jpeg_xl_gives_the_same_pixels(pixels: np.ndarray) -> None:
    """Any 12-bit pixels come back exactly."""
    file = wrap_stream(_encode(pixels, lossless=True, bitspersample=12), JPEG_XL_LOSSLESS, pixels)
    np.testing.assert_array_equal(display_dicom(file), display_dicom(make_dicom(pixels)))


@pytest.mark.parametrize("usecontainer", [False, True])
@pytest.mark.parametrize("bits", [10, 12, 16])
def test_each_depth_and_container_is_read(bits: int, usecontainer: bool) -> None:
    """The grey scale does not depend on the depth that the codestream announces."""
    pixels = make_gradient(top=1023)
    stream = _encode(pixels, lossless=True, bitspersample=bits, usecontainer=usecontainer)
    file = wrap_stream(stream, JPEG_XL_LOSSLESS, pixels)
    np.testing.assert_array_equal(display_dicom(file), display_dicom(make_dicom(pixels)))


def test_lossy_jpeg_xl_gives_nearly_the_same_pixels() -> None:
    """What the compression changes is less than 2 % of the range."""
    pixels = make_deep_picture()
    stream = _encode(pixels, lossless=False, distance=0.1, bitspersample=12)
    file = wrap_stream(stream, JPEG_XL, pixels, BitsStored=12, HighBit=11)
    assert np.abs(display_dicom(file) - display_dicom(make_dicom(pixels))).max() < 0.02


def test_a_jpeg_that_was_packed_into_jpeg_xl_is_read() -> None:
    """The picture is that of the JPEG."""
    pixels = make_gradient(dtype="u1", top=255)
    jpeg = encode_jpeg(pixels)
    packed = wrap_stream(bytes(jpegxl_encode_jpeg(jpeg)), JPEG_RECOMPRESSION, pixels)
    plain = encapsulate_stream(jpeg, uid.JPEGBaseline8Bit, pixels)
    assert np.abs(display_dicom(packed) - display_dicom(plain)).max() < 0.02


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL_422", "XYB"])
def test_colours_become_grey(photometric: str) -> None:
    """The decoder gives red, green and blue, whatever the codestream holds."""
    grey = make_gradient(dtype="u1", top=255)
    colours = np.repeat(grey[..., None], 3, axis=2)
    stream = _encode(colours, lossless=True)
    file = wrap_stream(stream, JPEG_XL, colours, PhotometricInterpretation=photometric)
    assert np.abs(read_dicom(file, MAX_PIXELS).pixels.astype(int) - grey).max() <= 1


@given(st.integers(1, 300), st.integers(1, 300))
def test_the_size_header_is_read(rows: int, columns: int) -> None:
    """Rows and columns are those of the encoder, in the short form, the long form and with ratios."""
    assert read_jpeg_xl_size(_encode(np.zeros((rows, columns), np.uint8))) == (rows, columns)


@given(st.binary(max_size=64))
def test_any_bytes_give_a_size_or_an_error(content: bytes) -> None:
    """The size header comes from a stranger."""
    for stream in (content, b"\xff\x0a" + content, b"\0\0\0\x0cJXL \r\n\x87\n" + content):
        try:
            rows, columns = read_jpeg_xl_size(stream)
        except UnreadableRadiograph:
            continue
        assert rows > 0
        assert columns >= 0


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (lambda stream, pixels: wrap_stream(stream[:-40], JPEG_XL, pixels), "damaged or cut short"),
        (lambda stream, pixels: wrap_stream(b"\xff\xd8" * 40, JPEG_XL, pixels), "not a JPEG XL"),
        (lambda stream, pixels: wrap_stream(b"\xff\x0a\0", JPEG_XL, pixels), "damaged or cut short"),
        (lambda stream, pixels: wrap_stream(stream, JPEG_XL, pixels[:-1]), "not of the size"),
        (lambda stream, pixels: wrap_stream(stream, JPEG_XL, pixels.astype("u1")), "more bits"),
        (
            lambda stream, pixels: wrap_stream(
                _encode(np.dstack([pixels] * 3), lossless=True), JPEG_XL, pixels
            ),
            "not of the size",
        ),
    ],
)
def test_a_stream_that_contradicts_the_header_is_an_error(file: Any, text: str) -> None:
    """Nothing is displayed that was not announced."""
    pixels = make_gradient()
    with pytest.raises(UnreadableRadiograph, match=text):
        read_dicom(file(_encode(pixels, lossless=True), pixels), MAX_PIXELS)
