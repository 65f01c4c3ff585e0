"""Display variants of one picture with Pleura, DCMTK and GDCM, and compare: ``make proof-dicom``."""

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pleura.errors import PleuraError
from pleura.radiograph.dicom import read_dicom
from pleura.radiograph.tensor import to_tensor
from proof.display.known import explain
from proof.display.toolkits import ToolkitDisplay, display_with_toolkits, find_missing_programs
from proof.display.variants import Variant, list_variants
from proof.lab.files import MAX_PIXELS
from proof.lab.report import ClaimRow, print_claims

# Each toolkit rounds to its own scale before the picture is made smaller.
_TOLERANCE: Final = 3
_REFERENCE: Final = "the standard, computed with numpy"


@dataclass(frozen=True)
class Comparison:
    """How far a display is from Pleura's, in grey levels of the tensor; 255 if there is no picture."""

    toolkit: str
    variant: Variant
    difference: int
    reason: str
    """Why a difference is expected; empty if it is not, or if there is none."""

    @property
    def agrees(self) -> bool:
        """Say whether the difference is within the tolerance."""
        return self.difference <= _TOLERANCE


def compare_variant(variant: Variant, folder: Path) -> Iterator[Comparison]:
    """Compare Pleura with the reference and with each toolkit that reads the transfer syntax."""
    try:
        tensor = to_tensor(read_dicom(variant.file, MAX_PIXELS).pixels)
    except PleuraError as error:
        sys.stderr.write(f"{variant.name}: {error}\n")
        yield Comparison(_REFERENCE, variant, 255, "")
        return
    yield Comparison(_REFERENCE, variant, _measure(tensor, variant.right.astype(np.float32)), "")
    for display in display_with_toolkits(variant, folder):
        yield _compare_toolkit(tensor, display, variant)


def _compare_toolkit(tensor: NDArray[np.uint8], display: ToolkitDisplay, variant: Variant) -> Comparison:
    difference = 255 if display.pixels is None else _measure(tensor, display.pixels)
    reason = explain(display.toolkit, variant) if difference > _TOLERANCE else ""
    return Comparison(display.toolkit, variant, difference, reason)


def _measure(tensor: NDArray[np.uint8], pixels: NDArray[Any]) -> int:
    try:
        other = to_tensor(pixels)
    except PleuraError:  # blank
        return 255
    return int(np.abs(tensor.astype(int) - other.astype(int)).max())


def main() -> int:
    """Compare all variants, and print the report."""
    if missing := find_missing_programs():
        sys.stderr.write(f"not installed: {', '.join(sorted(missing))} (packages dcmtk, libgdcm-tools)\n")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        comparisons = [
            comparison for variant in list_variants() for comparison in compare_variant(variant, Path(folder))
        ]
    return print_claims("What is displayed", list(_list_claims(comparisons)))


def _list_claims(comparisons: list[Comparison]) -> Iterator[ClaimRow]:
    variants = len({comparison.variant.name + comparison.variant.syntax for comparison in comparisons})
    compared = {id(c.variant) for c in comparisons if c.toolkit != _REFERENCE}
    # A campaign in which no toolkit reads the files would show nothing.
    yield ClaimRow("variants that a toolkit displays too", ">= 400", str(len(compared)), len(compared) >= 400)
    yield ClaimRow("different variants", "", str(variants), None)
    for toolkit in sorted({comparison.toolkit for comparison in comparisons}):
        own = [comparison for comparison in comparisons if comparison.toolkit == toolkit]
        agreeing = sum(comparison.agrees for comparison in own)
        unexplained = [c for c in own if not c.agrees and not c.reason]
        for comparison in unexplained:
            sys.stderr.write(f"{toolkit}: {comparison.variant.name}: {comparison.difference} of 255\n")
        yield ClaimRow(f"{toolkit}: within {_TOLERANCE} of 255", "", f"{agreeing} of {len(own)}", None)
        yield ClaimRow(f"{toolkit}: unexplained differences", "0", str(len(unexplained)), not unexplained)
    reasons = Counter(comparison.reason for comparison in comparisons if comparison.reason)
    for reason, count in reasons.most_common():
        yield ClaimRow(reason, "", str(count), None)


if __name__ == "__main__":
    sys.exit(main())
