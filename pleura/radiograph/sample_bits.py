"""Take the stored values out of the cells that a decoder gives: which bits count, and which is the sign."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pleura.errors import UnreadableRadiograph
from pleura.radiograph.dicom_layout import PixelLayout

_MAX_OVERSHOOT: Final = 1 / 16
_CONTRADICTION: Final = "the bits of the compressed pixels are not those that the DICOM file announces"


@dataclass(frozen=True)
class CodedCells:
    """What a codestream, or else the header, says about the cells that hold the samples."""

    bits: int
    """Bits of a cell: the precision of the codestream, or Bits Allocated."""
    is_signed: bool = False
    """Whether the codestream says that its cells are signed."""
    is_lossy: bool = False


def extract_samples(
    decoded: NDArray[np.integer[Any]], cells: CodedCells, layout: PixelLayout
) -> NDArray[np.integer[Any]]:
    """Take the bits from High Bit downwards, and extend their sign. What other bits hold is ignored.

    Raises:
        UnreadableRadiograph: The codestream contradicts the header about which bits are the sample.

    Source:
        DICOM PS3.5 section 8.1.1 (bits allocated, bits stored, high bit), 8.2 (compressed pixels).
    """
    decoded = decoded.astype(decoded.dtype.newbyteorder("="), copy=False)
    if cells.bits <= layout.high_bit:
        return _extract_narrow(decoded, cells, layout)
    if cells.is_lossy and cells.bits > layout.high_bit + 1:
        decoded = _limit_overshoot(decoded, cells, layout)
    return _extract_bits(decoded, layout.bits_stored, layout.high_bit, is_signed=layout.is_signed)


def _extract_bits(
    decoded: NDArray[np.integer[Any]], bits: int, high_bit: int, *, is_signed: bool
) -> NDArray[np.integer[Any]]:
    cell_bits = 8 * decoded.dtype.itemsize
    pixels = decoded.view(np.dtype(f"{'i' if is_signed else 'u'}{decoded.dtype.itemsize}"))
    if bits >= cell_bits:
        return pixels
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if is_signed else (0, 2**bits - 1)
    if high_bit == bits - 1 and low <= pixels.min() and pixels.max() <= high:
        return pixels
    shifted: NDArray[Any] = np.left_shift(pixels, cell_bits - 1 - high_bit)
    return np.right_shift(shifted, cell_bits - bits)  # type: ignore[no-any-return]  # dtype as given


def _extract_narrow(
    decoded: NDArray[np.integer[Any]], cells: CodedCells, layout: PixelLayout
) -> NDArray[np.integer[Any]]:
    """Take samples from a codestream whose cells have fewer bits than the header announces."""
    if layout.high_bit != layout.bits_stored - 1:
        raise UnreadableRadiograph(_CONTRADICTION)
    is_signed = layout.is_signed and cells.is_signed
    pixels = _extract_bits(decoded, cells.bits, cells.bits - 1, is_signed=is_signed)
    if layout.is_signed and not is_signed and int(pixels.max()) >= 2 ** (cells.bits - 1):
        # the topmost bit of the codestream may be the sign, or a part of the number
        raise UnreadableRadiograph(_CONTRADICTION)
    return pixels


def _limit_overshoot(
    decoded: NDArray[np.integer[Any]], cells: CodedCells, layout: PixelLayout
) -> NDArray[np.integer[Any]]:
    """Cut what a lossy codec adds at the ends of the range. More than that is another use of the bits.

    A lossy codec mixes the bits of an old overlay, or of a missing sign, with the radiograph: they cannot be
    removed from it.
    """
    is_signed = cells.is_signed and layout.is_signed
    values = _extract_bits(decoded, cells.bits, cells.bits - 1, is_signed=is_signed)
    bits = layout.high_bit + 1
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if is_signed else (0, 2**bits - 1)
    overshoot = 2**bits * _MAX_OVERSHOOT
    if values.min() < low - overshoot or values.max() > high + overshoot:
        raise UnreadableRadiograph(_CONTRADICTION)
    return values.clip(low, high)
