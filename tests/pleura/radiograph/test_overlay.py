"""The overlay of a radiograph with the activation map of its first finding."""

from dataclasses import replace

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pleura.classification import Finding, OverlayContent, make_overlay_content
from pleura.findings import FINDINGS
from pleura.radiograph.overlay import blend_activation, draw_overlay, to_display_grayscale_8bit


def _make_content(hot: tuple[int, int] = (0, 6)) -> OverlayContent:
    activation = np.full((len(FINDINGS), 7, 7), -1.0, np.float32)
    activation[2, hot[0], hot[1]] = 5.0
    findings = tuple(
        Finding(name, 0.6 if name == "Effusion" else 0.1, 0.3, name == "Effusion", True) for name in FINDINGS
    )
    return make_overlay_content(findings, activation, 0.5, "1.0.0")


def test_only_places_that_contribute_to_the_finding_are_coloured() -> None:
    """The place of the activation is coloured; the rest of the radiograph stays grey."""
    grey = np.full((700, 700), 128, np.uint8)
    picture = blend_activation(grey, _make_content().activation).astype(int)
    colour = picture.max(axis=2) - picture.min(axis=2)
    assert colour[40, 660] > 60
    assert colour[400:, :300].max() == 0


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([np.uint8, np.uint16, np.int16, np.float32]))
@settings(max_examples=25, deadline=None)
def test_any_radiograph_can_be_drawn(rows: int, columns: int, dtype: type[np.generic]) -> None:
    """Any size and datatype gives a picture with the panel of all findings."""
    pixels: NDArray[np.generic] = np.arange(rows * columns).reshape(rows, columns).astype(dtype)
    grey = to_display_grayscale_8bit(pixels)
    assert max(grey.shape) == 900
    picture = draw_overlay(pixels, _make_content())
    assert picture.shape[0] > len(FINDINGS) * 40
    assert picture.shape[1] > grey.shape[1]
    assert cv2.imencode(".png", picture)[0]


def test_the_warnings_of_the_answer_are_drawn() -> None:
    """Whoever sees the picture sees them too."""
    pixels = np.arange(4_000, dtype=np.uint16).reshape(50, 80)
    plain, warned = _make_content(), replace(_make_content(), warnings=("untypical",))
    without, with_warning = draw_overlay(pixels, plain), draw_overlay(pixels, warned)
    assert with_warning.shape[0] > without.shape[0]
    assert not np.array_equal(with_warning[: without.shape[0]], without)


def test_an_overlay_shows_the_finding_that_is_named() -> None:
    """Without a name it is the first of the list, which is never an unmeasured one."""
    findings = [
        Finding("Mass", 0.9, 0.3, True, False),
        Finding("Effusion", 0.4, 0.3, True, True),
        Finding("Edema", 0.2, 0.3, False, None),
    ]
    maps = np.arange(len(FINDINGS) * 49, dtype=np.float32).reshape(-1, 7, 7)
    by_default, named = (make_overlay_content(findings, maps, 0.5, "1.0.0", name) for name in (None, "Mass"))
    assert [each.name for each in by_default.findings] == ["Effusion", "Edema", "Mass"]
    assert (by_default.shown.name, named.shown.name) == ("Effusion", "Mass")
    np.testing.assert_array_equal(named.activation, maps[FINDINGS.index("Mass")])
