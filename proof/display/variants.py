"""Variants of one picture: bits, signs, tables, windows, polarities and transfer syntaxes of DICOM."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom import uid

from proof.display.cells import ENCODERS, LAYOUTS, NATIVE, BitLayout, wrap_stream
from proof.lab.files import make_dicom
from proof.lab.pictures import make_lut, make_picture

Greys = NDArray[np.float64]
_SIDE: Final = 64
_LONGEST_JPEG_CELL: Final = 15
# All 28 combinations for each file would take almost six times as long.
_SETTINGS_PER_FILE: Final = 5


@dataclass(frozen=True)
class Setting:
    """What the header says about the grey scale, and the greys that the standard makes of the stored values.

    ``elements`` and ``display`` get the bit layout, because the numbers follow its range.
    """

    name: str
    elements: Callable[[BitLayout], dict[str, Any]]
    display: Callable[[Greys, BitLayout], Greys]
    arguments: tuple[str, ...] = ()
    """Options with which dcm2pnm applies the setting."""


@dataclass(frozen=True)
class Variant:
    """A DICOM file, and what the standard displays: greys on any linear scale, 0 black."""

    name: str
    file: bytes
    right: Greys
    syntax: str
    layout: BitLayout
    setting: Setting
    has_other_bits: bool


def _span(layout: BitLayout) -> int:
    return int(2**layout.stored)


def _window(layout: BitLayout) -> dict[str, Any]:
    return {"WindowCenter": layout.low + _span(layout) // 2, "WindowWidth": _span(layout) // 2}


def _show_window(values: Greys, layout: BitLayout) -> Greys:
    centre, width = layout.low + _span(layout) // 2, _span(layout) // 2
    # The halves are the standard's own (PS3.3 C.11.2.1.2.1).
    return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)


def _show_sigmoid(values: Greys, layout: BitLayout) -> Greys:
    centre, width = layout.low + _span(layout) // 2, _span(layout) // 2
    return np.asarray(1 / (1 + np.exp(-4 * (values - centre) / width)))


def _curve(layout: BitLayout) -> NDArray[np.int64]:
    curve: NDArray[np.float64] = np.sqrt(np.linspace(0, 1, min(_span(layout), 4096))) * 65_535
    return np.rint(curve).astype(np.int64)


def _show_table(values: Greys, layout: BitLayout, first: int) -> Greys:
    curve = _curve(layout)
    return curve[np.clip(values - first, 0, len(curve) - 1).astype(np.int64)].astype(np.float64)


def _voi_table(layout: BitLayout) -> dict[str, Any]:
    table = make_lut(_curve(layout), layout.low)
    # The second number has the sign of the pixels (PS3.3 C.11.1.1).
    table[0]["LUTDescriptor"].VR = "SS" if layout.is_signed else "US"
    return {"VOILUTSequence": table}


def _show_rescaled_window(values: Greys, layout: BitLayout) -> Greys:
    centre, width = layout.low + _span(layout) // 2, _span(layout) // 2
    return np.clip((values / 2 - 7 - (centre / 2 - 7 - 0.5)) / (width / 2 - 1) + 0.5, 0, 1)


def _rescaled_window(layout: BitLayout) -> dict[str, Any]:
    window = _window(layout)
    return {
        "RescaleSlope": "0.5",
        "RescaleIntercept": "-7",
        "WindowCenter": window["WindowCenter"] / 2 - 7,
        "WindowWidth": window["WindowWidth"] / 2,
    }


SETTINGS: Final = (
    Setting("no window", lambda _: {}, lambda values, _: values),
    Setting("window", _window, _show_window, ("+Wi", "1")),
    Setting(
        "sigmoid",
        lambda bits: {**_window(bits), "VOILUTFunction": "SIGMOID"},
        _show_sigmoid,
        ("+Wi", "1"),
    ),
    Setting("VOI LUT", _voi_table, lambda v, bits: _show_table(v, bits, bits.low), ("+Wl", "1")),
    Setting(
        "modality LUT",
        lambda bits: {"ModalityLUTSequence": _voi_table(bits)["VOILUTSequence"]},
        lambda v, bits: _show_table(v, bits, bits.low),
    ),
    Setting(
        "negative slope",
        lambda bits: {"RescaleSlope": "-1", "RescaleIntercept": str(_span(bits) - 1)},
        lambda v, _: -v,
    ),
    Setting("rescale and window", _rescaled_window, _show_rescaled_window, ("+Wi", "1")),
)


def list_variants() -> Iterator[Variant]:
    """List the variants: each bit layout in each transfer syntax, with settings and polarities in turn."""
    picture = make_picture(_SIDE, _SIDE).astype(np.int64)
    turns = list(product(SETTINGS, ("MONOCHROME2", "MONOCHROME1"), (0, 0xAAAA)))
    turn = 0
    for layout, syntax in product(LAYOUTS, (*NATIVE, *ENCODERS)):
        # A sample in bit 15 does not fit into the 15 bits of our encoder.
        if syntax == uid.JPEGLosslessSV1 and layout.high >= _LONGEST_JPEG_CELL:
            continue
        for _ in range(_SETTINGS_PER_FILE):
            # 5 and the number of turns have no common divisor, so each turn comes up equally often.
            setting, photometric, other_bits = turns[(turn * 5 + turn // len(turns)) % len(turns)]
            turn += 1
            stored = picture * (_span(layout) - 1) // 255 + layout.low
            yield make_variant(stored, layout, syntax, setting, photometric, other_bits)


def make_variant(
    stored: NDArray[np.int64],
    layout: BitLayout,
    syntax: str,
    setting: Setting,
    photometric: str,
    other_bits: int,
) -> Variant:
    """Make a variant of stored values. A JPEG has 15 bits in a cell of 16."""
    greys = setting.display(stored.astype(np.float64), layout)
    cells = layout.pack(stored, other_bits)
    bits = layout.allocated
    if syntax == uid.JPEGLosslessSV1 and bits > _LONGEST_JPEG_CELL:
        bits, cells = _LONGEST_JPEG_CELL, cells & np.uint16(2**_LONGEST_JPEG_CELL - 1)
    elements = {
        **layout.elements,
        **setting.elements(layout),
        "PhotometricInterpretation": photometric,
    }
    if syntax in NATIVE:
        file = make_dicom(cells, syntax=syntax, **elements)
    else:
        file = wrap_stream(ENCODERS[syntax](cells, bits), syntax, cells, **elements)
    # Any linear scale is right, because the tensor stretches the greys anyway.
    right = -greys if photometric == "MONOCHROME1" else greys
    spare = " with other bits" if other_bits else ""
    sign = "signed" if layout.is_signed else "unsigned"
    bits_text = f"{layout.stored} of {layout.allocated} bits to bit {layout.high}, {sign}{spare}"
    name = f"{describe(syntax)}, {bits_text}, {photometric}, {setting.name}"
    return Variant(name, file, right, syntax, layout, setting, bool(other_bits))


def describe(syntax: str) -> str:
    """Give a short name of a transfer syntax."""
    return syntax if not uid.UID(syntax).is_transfer_syntax else uid.UID(syntax).name
