"""The overlay of a radiograph and its activation map, and the client that reads the answer."""

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


def _make_answer(hot: tuple[int, int] = (0, 6)) -> ClassifiedRadiograph:
    activation = np.full((len(FINDINGS), 7, 7), -1.0, np.float32)
    activation[2, hot[0], hot[1]] = 5.0
    findings = tuple(
        Finding(name, 0.6 if name == "Effusion" else 0.1, 0.3, name == "Effusion", True) for name in FINDINGS
    )
    return ClassifiedRadiograph(
        findings, 0.5, "1.0.0", "digest", "1", False, "written", activation, "request-1"
    )


def test_findings_are_ranked_by_how_far_they_are_above_their_threshold() -> None:
    """A present finding comes first, whatever its probability; then the ratio to the threshold decides."""
    answer = _make_answer()
    assert answer.ranked[0].name == "Effusion"
    likely = Finding("Mass", 0.7, 0.9, False, None)
    changed = dataclasses.replace(answer, findings=(likely, *answer.findings))
    assert [finding.name for finding in changed.ranked[:2]] == ["Effusion", "Mass"]


def test_only_places_that_contribute_to_the_finding_are_coloured() -> None:
    """The place of the activation is coloured; the rest of the radiograph stays grey."""
    grey = np.full((700, 700), 128, np.uint8)
    picture = blend_activation(grey, _make_answer().activation_map[2]).astype(int)
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
    picture = draw_overlay(pixels, _make_answer())
    assert picture.shape[0] > len(FINDINGS) * 40
    assert picture.shape[1] > grey.shape[1]
    assert cv2.imencode(".png", picture)[0]


@given(st.binary(max_size=50))
def test_a_request_announces_the_length_of_its_parts(element: bytes) -> None:
    """The JSON part comes first, then the length of the element, then the element."""
    body, length = request_body("image", element)
    assert body[:1] == b"{"
    assert body[length:] == len(element).to_bytes(4, "little") + element


def test_an_answer_that_is_cut_short_is_refused() -> None:
    """A tensor that is shorter than the answer announces is an error."""
    head = (
        b'{"outputs": [{"name": "typicality", "datatype": "FP32", "shape": [1],'
        b' "parameters": {"binary_data_size": 4}}]}'
    )
    _, arrays = response_arrays(head + b"\0\0\0\0", len(head))
    assert arrays["typicality"].tolist() == [0.0]
    with pytest.raises(ValueError, match="buffer"):
        response_arrays(head + b"\0", len(head))
