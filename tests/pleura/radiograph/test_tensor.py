"""From pixels to the input of the network."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pleura.contract import SIZE_PX
from pleura.errors import RefusedRadiograph
from pleura.radiograph.tensor import to_tensor


def _ramp(rows: int, columns: int) -> np.ndarray:
    return np.add.outer(np.arange(rows), np.arange(columns)).astype(np.float32)


@given(rows=st.integers(1, 700), columns=st.integers(1, 700), dtype=st.sampled_from(["u1", "u2", "i2", "f4"]))
def test_every_radiograph_becomes_one_size(rows: int, columns: int, dtype: str) -> None:
    """Shape and type do not depend on the radiograph; contrast spans the range."""
    pixels = _ramp(rows, columns).clip(0, 255).astype(dtype)
    if pixels.min() == pixels.max():
        with pytest.raises(RefusedRadiograph):
            to_tensor(pixels)
        return
    tensor = to_tensor(pixels)
    assert tensor.shape == (SIZE_PX, SIZE_PX)
    assert tensor.dtype == np.uint8
    assert (tensor.min(), tensor.max()) == (0, 255)


@given(scale=st.integers(1, 200), offset=st.integers(-1000, 2000))
def test_a_linear_window_does_not_change_the_tensor(scale: int, offset: int) -> None:
    """The same radiograph in another bit depth or linear window gives the same tensor, but for rounding."""
    pixels = np.random.default_rng(0).integers(0, 256, (300, 260)).astype(np.float32)
    other = to_tensor(pixels * np.float32(scale) + np.float32(offset))
    assert np.abs(other.astype(int) - to_tensor(pixels)).max() <= 1


def test_polarity_is_kept() -> None:
    """Bright stays bright: the negative of the pixels gives the negative of the tensor."""
    ramp = _ramp(256, 256)
    assert np.abs(255 - to_tensor(-ramp).astype(int) - to_tensor(ramp)).max() <= 1


def test_a_blank_radiograph_is_refused() -> None:
    """A radiograph without contrast shows no finding."""
    with pytest.raises(RefusedRadiograph, match="blank"):
        to_tensor(np.full((300, 300), 7, np.uint16))
