"""Differences between Pleura and another toolkit that have a reason."""

from collections.abc import Callable
from typing import Final

from pydicom import uid

from proof.display.variants import Variant

Applies = Callable[[str, Variant], bool]

# A reason must name its files narrowly: whatever it covers is not compared any more.
KNOWN_DIFFERENCES: Final[dict[str, Applies]] = {
    "GDCM takes the lowest bits for the sample, wherever High Bit is": (
        lambda toolkit, variant: toolkit == "GDCM" and variant.layout.high != variant.layout.stored - 1
    ),
    "GDCM keeps the other bits of JPEG 2000 cells": (
        lambda toolkit, variant: (
            toolkit == "GDCM" and variant.syntax == uid.JPEG2000Lossless and variant.has_other_bits
        )
    ),
    "GDCM stops at an assertion if 8-bit cells are not full": (
        lambda toolkit, variant: (
            toolkit == "GDCM" and variant.layout.allocated == 8 and variant.layout.stored < 8
        )
    ),
    "DCMTK cuts the fraction of a modality value: seen with less than 8 bits and slope 0.5": (
        lambda _, variant: variant.layout.stored < 8 and variant.setting.name == "rescale and window"
    ),
}
"""The reason, and the files that it explains."""


def explain(toolkit: str, variant: Variant) -> str:
    """Give the reason why a toolkit may display a variant differently; empty if there is none."""
    return next((reason for reason, applies in KNOWN_DIFFERENCES.items() if applies(toolkit, variant)), "")
