"""A radiograph with the place that speaks for a finding in colour, and the findings beside it."""

from pathlib import Path
from typing import Any, Final, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pleura.client import ClassifiedRadiograph, Finding
from pleura.findings import FINDINGS

_LONG_SIDE_PX: Final = 900
_PANEL_PX: Final = 400
_MARGIN_PX: Final = 24
_ROW_PX: Final = 44
_OPACITY: Final = 0.45
_FAINTEST_HUE: Final = 110
_STRONGEST_HUE: Final = 215
"""Places in the colour map: from green to red, without its dark ends."""
_FONT: Final = cv2.FONT_HERSHEY_DUPLEX
_BACKGROUND: Final = (24, 20, 18)
_TEXT: Final = (228, 226, 222)
_FAINT: Final = (140, 136, 130)
_BAR: Final = (96, 90, 84)
_PRESENT: Final = (64, 140, 255)
_TICK: Final = (250, 250, 250)
Colour = tuple[int, int, int]
Picture = NDArray[np.uint8]


def to_display_grayscale_8bit(pixels: NDArray[Any]) -> Picture:
    """Stretch a radiograph's grey scale to 8 bit, and bring its long side to the picture's size."""
    scale = _LONG_SIDE_PX / max(pixels.shape)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    resized = cv2.resize(pixels.astype(np.float32), size, interpolation=way)
    black, white = np.percentile(resized, (0.5, 99.5))
    stretched = (resized - black) * (255.0 / max(white - black, 1e-6))
    return cast("Picture", np.rint(stretched.clip(0, 255)).astype(np.uint8))


def blend_activation(grey: Picture, activation: NDArray[np.float32]) -> Picture:
    """Colour the places that speak for a finding more than the radiograph's median place does.

    Args:
        grey: The radiograph, uint8, (rows, columns).
        activation: Contribution of each place to the finding, (7, 7); it covers the whole radiograph.

    Returns:
        uint8, (rows, columns, 3), blue first.
    """
    wide = cv2.resize(activation, (grey.shape[1], grey.shape[0]), interpolation=cv2.INTER_CUBIC)
    strength = (wide - np.median(activation)).clip(0.0, None)
    strength = strength / max(float(strength.max()), 1e-6)
    hue = np.rint(_FAINTEST_HUE + (_STRONGEST_HUE - _FAINTEST_HUE) * strength).astype(np.uint8)
    heat = cv2.applyColorMap(hue, cv2.COLORMAP_TURBO)
    opacity = (_OPACITY * np.clip(strength * 1.5 - 0.3, 0.0, 1.0))[..., None]
    mixed = grey[..., None] * (1.0 - opacity) + heat * opacity
    return np.rint(mixed).astype(np.uint8)


def _write(picture: Picture, text: str, x: int, y: int, size: float, colour: Colour) -> None:
    cv2.putText(picture, text, (x, y), _FONT, size, colour, 1, cv2.LINE_AA)


def _write_row(panel: Picture, finding: Finding, y: int, is_shown: bool) -> None:
    left, right = _MARGIN_PX, _PANEL_PX - _MARGIN_PX
    name = finding.name.replace("_", " ") + (" (unmeasured)" if finding.measured is False else "")
    _write(panel, name, left, y, 0.5, _TEXT if finding.present else _FAINT)
    value = f"{finding.probability:.2f}"
    _write(panel, value, right - 40, y, 0.5, _TEXT if finding.present else _FAINT)
    top, width = y + 8, right - left
    end = left + round(width * finding.probability)
    cv2.rectangle(panel, (left, top), (right, top + 7), (44, 40, 37), -1)
    cv2.rectangle(panel, (left, top), (end, top + 7), _PRESENT if finding.present else _BAR, -1)
    tick = left + round(width * finding.threshold)
    cv2.line(panel, (tick, top - 2), (tick, top + 9), _TICK, 1)
    if is_shown:
        cv2.circle(panel, (left - 12, y - 5), 4, _PRESENT, -1, cv2.LINE_AA)


def _panel(reading: ClassifiedRadiograph, height: int) -> Picture:
    panel = np.full((height, _PANEL_PX, 3), _BACKGROUND, np.uint8)
    _write(panel, "Findings", _MARGIN_PX, 44, 0.8, _TEXT)
    _write(panel, "bar: probability   line: threshold", _MARGIN_PX, 70, 0.42, _FAINT)
    for position, finding in enumerate(reading.ranked):
        _write_row(panel, finding, 108 + position * _ROW_PX, is_shown=position == 0)
    y = 108 + len(reading.findings) * _ROW_PX + 12
    for text in (
        f"typicality {reading.typicality:.2f}   model {reading.model_version}",
        "Research software, not for diagnosis.",
    ):
        _write(panel, text, _MARGIN_PX, y, 0.45, _FAINT)
        y += 24
    return panel


def _caption(finding: Finding, width: int) -> Picture:
    caption = np.full((56, width, 3), _BACKGROUND, np.uint8)
    what = "present" if finding.present else "not called, nearest to its threshold"
    name = finding.name.replace("_", " ")
    text = f"{name} {finding.probability:.2f}  (threshold {finding.threshold:.2f}): {what}"
    _write(caption, text, _MARGIN_PX, 36, 0.6, _TEXT)
    return caption


def draw_overlay(pixels: NDArray[Any], reading: ClassifiedRadiograph) -> Picture:
    """Draw the radiograph, the map of its foremost finding over it, a caption, and all findings beside it."""
    shown = reading.ranked[0]
    grey = to_display_grayscale_8bit(pixels)
    picture = blend_activation(grey, reading.activation_map[FINDINGS.index(shown.name)])
    height = max(picture.shape[0], 108 + (len(FINDINGS) + 1) * _ROW_PX)
    canvas = np.full((height, picture.shape[1], 3), _BACKGROUND, np.uint8)
    top = (height - picture.shape[0]) // 2
    canvas[top : top + picture.shape[0]] = picture
    upper = np.hstack([canvas, _panel(reading, height)])
    return np.vstack([upper, _caption(shown, upper.shape[1])])


def write_png(path: Path, picture: Picture) -> None:
    """Write a picture as PNG.

    Raises:
        OSError: The file cannot be written.
    """
    done, png = cv2.imencode(".png", picture)
    if not done:
        raise OSError(f"{path} cannot be encoded as PNG")
    path.write_bytes(png.tobytes())
