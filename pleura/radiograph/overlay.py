"""Draw the activation map of a finding over a radiograph, with a panel that lists all findings."""

from pathlib import Path
from typing import Any, Final, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from pleura.classification import Finding, OverlayContent
from pleura.findings import FINDINGS

_LONG_SIDE_PX: Final = 900
_PANEL_PX: Final = 400
_MARGIN_PX: Final = 24
_ROW_PX: Final = 44
_FIRST_ROW_PX: Final = 108
_CAPTION_PX: Final = 56
_LINE_PX: Final = 24
_OPACITY: Final = 0.45
_FAINTEST_HUE: Final = 110
_STRONGEST_HUE: Final = 215
"""Entries of the colour map: from green to red, without the dark ends of the map."""
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
    """Stretch the grey scale of a radiograph to 8 bits, and resize it to the size of the picture."""
    scale = _LONG_SIDE_PX / max(pixels.shape)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    # to floats after resizing: those of a large radiograph would need four times its memory
    resized = cv2.resize(pixels, size, interpolation=interpolation).astype(np.float32)
    black, white = np.percentile(resized, (0.5, 99.5))
    stretched = (resized - black) * (255.0 / max(white - black, 1e-6))
    return cast("Picture", np.rint(stretched.clip(0, 255)).astype(np.uint8))


def blend_activation(grey: Picture, activation: NDArray[np.float32]) -> Picture:
    """Colour the places that contribute more to a finding than the median place does.

    Args:
        grey: The radiograph, uint8, (rows, columns).
        activation: Contribution of each place to the finding, (7, 7); the map covers the whole radiograph.

    Returns:
        uint8, (rows, columns, 3), blue first.
    """
    resized = cv2.resize(activation, (grey.shape[1], grey.shape[0]), interpolation=cv2.INTER_CUBIC)
    strength = (resized - np.median(activation)).clip(0.0, None)
    strength = strength / max(float(strength.max()), 1e-6)
    hue = np.rint(_FAINTEST_HUE + (_STRONGEST_HUE - _FAINTEST_HUE) * strength).astype(np.uint8)
    heat = cv2.applyColorMap(hue, cv2.COLORMAP_TURBO)
    opacity = (_OPACITY * np.clip(strength * 1.5 - 0.3, 0.0, 1.0))[..., None]
    mixed = grey[..., None] * (1.0 - opacity) + heat * opacity
    return np.rint(mixed).astype(np.uint8)


def _write_text(picture: Picture, text: str, x: int, y: int, size: float, colour: Colour) -> None:
    cv2.putText(picture, text, (x, y), _FONT, size, colour, 1, cv2.LINE_AA)


def _draw_finding(panel: Picture, finding: Finding, y: int, has_map: bool) -> None:
    left, right = _MARGIN_PX, _PANEL_PX - _MARGIN_PX
    name = finding.name.replace("_", " ") + (" (unmeasured)" if finding.measured is False else "")
    _write_text(panel, name, left, y, 0.5, _TEXT if finding.present else _FAINT)
    value = f"{finding.probability:.2f}"
    _write_text(panel, value, right - 40, y, 0.5, _TEXT if finding.present else _FAINT)
    top, width = y + 8, right - left
    end = left + round(width * finding.probability)
    cv2.rectangle(panel, (left, top), (right, top + 7), (44, 40, 37), -1)
    cv2.rectangle(panel, (left, top), (end, top + 7), _PRESENT if finding.present else _BAR, -1)
    tick = left + round(width * finding.threshold)
    cv2.line(panel, (tick, top - 2), (tick, top + 9), _TICK, 1)
    if has_map:
        cv2.circle(panel, (left - 12, y - 5), 4, _PRESENT, -1, cv2.LINE_AA)


def _draw_panel(content: OverlayContent, height: int) -> Picture:
    panel = np.full((height, _PANEL_PX, 3), _BACKGROUND, np.uint8)
    _write_text(panel, "Findings", _MARGIN_PX, 44, 0.8, _TEXT)
    _write_text(panel, "bar: probability   line: threshold", _MARGIN_PX, 70, 0.42, _FAINT)
    for position, finding in enumerate(content.findings):
        y = _FIRST_ROW_PX + position * _ROW_PX
        _draw_finding(panel, finding, y, has_map=finding.name == content.shown.name)
    y = _FIRST_ROW_PX + len(content.findings) * _ROW_PX + 12
    lines = [
        *((f"Warning: {warning.replace('_', ' ')}", _PRESENT) for warning in content.warnings),
        (f"typicality {content.typicality:.2f}   model {content.model_version}", _FAINT),
        ("Research software, not for diagnosis.", _FAINT),
    ]
    for text, colour in lines:
        _write_text(panel, text, _MARGIN_PX, y, 0.45, colour)
        y += _LINE_PX
    return panel


def _draw_caption(finding: Finding, width: int) -> Picture:
    caption = np.full((_CAPTION_PX, width, 3), _BACKGROUND, np.uint8)
    state = "present" if finding.present else "below its threshold"
    if finding.measured is False:
        state += ", unmeasured"
    name = finding.name.replace("_", " ")
    text = f"{name} {finding.probability:.2f}  (threshold {finding.threshold:.2f}): {state}"
    _write_text(caption, text, _MARGIN_PX, 36, 0.6, _TEXT)
    return caption


def draw_overlay(pixels: NDArray[Any], content: OverlayContent) -> Picture:
    """Draw the radiograph with the activation map of a finding, a caption, and all findings."""
    picture = blend_activation(to_display_grayscale_8bit(pixels), content.activation)
    rows_px = (len(FINDINGS) + 1) * _ROW_PX + len(content.warnings) * _LINE_PX
    height = max(picture.shape[0], _FIRST_ROW_PX + rows_px)
    canvas = np.full((height, picture.shape[1], 3), _BACKGROUND, np.uint8)
    top = (height - picture.shape[0]) // 2
    canvas[top : top + picture.shape[0]] = picture
    upper = np.hstack([canvas, _draw_panel(content, height)])
    return np.vstack([upper, _draw_caption(content.shown, upper.shape[1])])


def encode_png(picture: Picture) -> bytes:
    """Encode a picture as PNG.

    Raises:
        ValueError: OpenCV cannot encode it.
    """
    is_encoded, png = cv2.imencode(".png", picture)
    if not is_encoded:
        raise ValueError("the picture cannot be encoded as PNG")
    return png.tobytes()


def write_png(path: Path, picture: Picture) -> None:
    """Write a picture as PNG.

    Raises:
        OSError: The file cannot be written.
    """
    path.write_bytes(encode_png(picture))
