"""Which bits of a cell are the sample, in every transfer syntax: the picture is the same."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from openjpeg.utils import encode_array
from pydicom import uid

from pleura.errors import UnreadableRadiograph
from pleura.radiograph.dicom import read_dicom
from proof.display.cells import ENCODERS, NATIVE, BitLayout, wrap_stream
from proof.display.variants import SETTINGS, Variant, list_variants, make_variant
from proof.lab.files import MAX_PIXELS, make_dicom, make_gradient
from tests.support.dicom_display import display_dicom

COMPRESSED = [syntax for syntax in ENCODERS if syntax != uid.JPEGLosslessSV1]


@st.composite
def draw_layout(draw: Callable[..., int]) -> BitLayout:
    """Draw any layout of a sample of at least two bits in a cell."""
    allocated = draw(st.sampled_from([8, 16]))
    stored = draw(st.integers(2, allocated))
    return BitLayout(
        allocated, stored, draw(st.integers(stored - 1, allocated - 1)), bool(draw(st.booleans()))
    )


def require_right(variant: Variant) -> None:
    """Compare what is displayed with the greys that the standard gives."""
    right = (variant.right - variant.right.min()) / (np.ptp(variant.right) or 1)
    np.testing.assert_allclose(display_dicom(variant.file), right, atol=1 / 255, err_msg=variant.name)


@given(
    st.data(),
    draw_layout(),
    st.sampled_from([*NATIVE, *COMPRESSED]),
    st.sampled_from(["MONOCHROME1", "MONOCHROME2"]),
    st.integers(0, 0xFFFF),
)
def test_any_bits_in_any_transfer_syntax_are_read(
    data: st.DataObject, layout: BitLayout, syntax: str, photometric: str, other_bits: int
) -> None:
    """High Bit, sign, unused bits, polarity and codec do not change the picture."""
    values = st.integers(layout.low, layout.low + 2**layout.stored - 1)
    # openjpeg's encoder needs 32 pixels a side
    stored = np.tile(data.draw(arrays(np.int64, (8, 6), elements=values)), (4, 6))
    require_right(make_variant(stored, layout, syntax, SETTINGS[0], photometric, other_bits))


def test_a_tenth_of_the_variants_is_displayed_right() -> None:
    """Tables, windows and rescaling too; ``make proof-dicom`` compares all of them with other toolkits."""
    for variant in list(list_variants())[::10]:
        require_right(variant)


@pytest.mark.parametrize("is_signed", [True, False])
def test_the_codestream_may_disagree_about_the_sign(is_signed: bool) -> None:
    """JPEG 2000 says itself whether samples are signed; the header decides."""
    values = make_gradient().astype(np.int64) - 2048 * is_signed
    layout = BitLayout(16, 12, 11, is_signed)
    other = layout.pack(values).astype("u2" if is_signed else "i2")
    other = other if is_signed else np.where(other > 2047, other - 4096, other).astype("i2")
    stream = encode_array(other, bits_stored=12)
    file = wrap_stream(stream, uid.JPEG2000Lossless, layout.pack(values), **layout.elements)
    np.testing.assert_array_equal(
        display_dicom(file), display_dicom(make_dicom(layout.pack(values), **layout.elements))
    )


def test_a_codestream_with_fewer_bits_than_the_high_bit_is_refused() -> None:
    """A codestream of 12 bits has no bit 15, which the header announces as the highest."""
    cells = make_gradient()
    stream = encode_array(cells, bits_stored=12)
    file = wrap_stream(stream, uid.JPEG2000Lossless, cells, **BitLayout(16, 12, 15).elements)
    with pytest.raises(UnreadableRadiograph, match="bits"):
        read_dicom(file, MAX_PIXELS)


def compress_lossy(cells: NDArray[np.uint16]) -> bytes:
    """Compress cells of 16 bits with some loss."""
    stream = encode_array(cells, bits_stored=16, compression_ratios=[4])
    return wrap_stream(stream, uid.JPEG2000, cells, **BitLayout(16, 12, 11).elements)


def test_lossy_overshoot_is_cut_and_a_lossy_overlay_is_refused() -> None:
    """A lossy codec adds a little at the ends. An overlay that it smeared cannot be removed."""
    pixels = make_gradient(128, 128)
    assert np.abs(display_dicom(compress_lossy(pixels)) - display_dicom(make_dicom(pixels))).max() < 0.1
    pixels[40:60, 20:90] |= 0x1000
    with pytest.raises(UnreadableRadiograph, match="bits"):
        read_dicom(compress_lossy(pixels), MAX_PIXELS)
