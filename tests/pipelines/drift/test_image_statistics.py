"""What a radiograph looks like is measured as it is displayed, whatever its depth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.drift.image_statistics import image_statistics
from pleura.errors import RefusedRadiograph
from pleura.radiograph.pixels import Radiograph


def _pixels(seed: int, rows: int = 60, columns: int = 48) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (rows, columns)).astype(np.uint8)


@given(st.integers(0, 1000), st.integers(20, 60), st.integers(20, 60))
def test_each_figure_is_in_its_range(seed: int, rows: int, columns: int) -> None:
    """Greys are shares of the full scale, entropy is of 256 levels, aspect is width by height."""
    found = image_statistics(Radiograph(_pixels(seed, rows, columns)))
    assert 0 < found.mean < 1
    assert 0 < found.contrast <= 0.5
    assert 0 < found.entropy <= 8
    assert found.aspect == columns / rows


def test_depth_changes_nothing() -> None:
    """The same greys in sixteen bits have the same mean and contrast."""
    eight = _pixels(1)
    sixteen = eight.astype(np.uint16) * 257
    a, b = image_statistics(Radiograph(eight)), image_statistics(Radiograph(sixteen))
    assert (a.mean, a.contrast) == pytest.approx((b.mean, b.contrast), abs=1e-6)


def test_half_the_contrast_is_half_the_contrast() -> None:
    """What the network's own stretching of greys would hide is seen here."""
    pixels = _pixels(1)
    whole, half = (image_statistics(Radiograph(each)) for each in (pixels, pixels // 2 + 64))
    assert half.contrast == pytest.approx(whole.contrast / 2, rel=0.01)


def test_a_blank_radiograph_is_refused() -> None:
    """The transformer refuses such a radiograph too, so it has no answer."""
    with pytest.raises(RefusedRadiograph):
        image_statistics(Radiograph(np.full((50, 50), 9, np.uint8)))
