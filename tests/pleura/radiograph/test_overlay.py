"""The picture of a radiograph with its activation map, and what it is drawn from."""

import dataclasses

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pleura.client import ClassifiedRadiograph, Finding, request_body, response_arrays
from pleura.findings import FINDINGS
from pleura.radiograph.overlay import blend_activation, draw_overlay, to_display_grayscale_8bit


def _reading(hot: tuple[int, int] = (0, 6)) -> ClassifiedRadiograph:
    activation = np.full((len(FINDINGS), 7, 7), -1.0, np.float32)
    activation[2, hot[0], hot[1]] = 5.0
    findings = tuple(
        Finding(name, 0.6 if name == "Effusion" else 0.1, 0.3, name == "Effusion", True) for name in FINDINGS
    )
    return ClassifiedRadiograph(
        findings, 0.5, "1.0.0", "digest", "1", False, "written", activation, "request-1"
    )


def test_findings_are_ranked_by_how_far_they_are_above_their_threshold() -> None:
    """What is present comes first, whatever its probability; among equals the ratio decides."""
    reading = _reading()
    assert reading.ranked[0].name == "Effusion"
    likely = Finding("Mass", 0.7, 0.9, False, None)
    changed = dataclasses.replace(reading, findings=(likely, *reading.findings))
    assert [finding.name for finding in changed.ranked[:2]] == ["Effusion", "Mass"]


def test_only_what_speaks_for_the_finding_is_coloured() -> None:
    """Colour lies at the place of the activation; the rest of the radiograph stays grey."""
    grey = np.full((700, 700), 128, np.uint8)
    picture = blend_activation(grey, _reading().activation_map[2]).astype(int)
    colour = picture.max(axis=2) - picture.min(axis=2)
    assert colour[40, 660] > 60
    assert colour[400:, :300].max() == 0


@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([np.uint8, np.uint16, np.int16, np.float32]))
@settings(max_examples=25, deadline=None)
def test_any_radiograph_can_be_drawn(rows: int, columns: int, dtype: type[np.generic]) -> None:
    """Any size and datatype gives a picture with the panel of all findings."""
    pixels: NDArray[np.generic] = np.arange(rows * columns).reshape(rows, columns).astype(dtype)
    shown = to_display_grayscale_8bit(pixels)
    assert max(shown.shape) == 900
    picture = draw_overlay(pixels, _reading())
    assert picture.shape[0] > len(FINDINGS) * 40
    assert picture.shape[1] > shown.shape[1]
    assert cv2.imencode(".png", picture)[0]


@given(st.binary(max_size=50))
def test_a_request_says_how_long_its_parts_are(element: bytes) -> None:
    """The JSON part comes first, then the element behind its length."""
    body, length = request_body("image", element)
    assert body[:1] == b"{"
    assert body[length:] == len(element).to_bytes(4, "little") + element


def test_an_answer_that_is_cut_short_is_refused() -> None:
    """Tensors that are shorter than the answer says are an error."""
    head = (
        b'{"outputs": [{"name": "typicality", "datatype": "FP32", "shape": [1],'
        b' "parameters": {"binary_data_size": 4}}]}'
    )
    _, arrays = response_arrays(head + b"\0\0\0\0", len(head))
    assert arrays["typicality"].tolist() == [0.0]
    with pytest.raises(ValueError, match="buffer"):
        response_arrays(head + b"\0", len(head))
