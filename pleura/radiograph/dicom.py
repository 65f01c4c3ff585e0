"""Decode a DICOM file to the greys that a viewer shows: parse, check, decode, display."""

import warnings
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder

from pleura.errors import PleuraError, UnreadableRadiograph
from pleura.radiograph.dicom_file import parse_dicom_file
from pleura.radiograph.dicom_layout import PixelLayout, read_layout
from pleura.radiograph.grayscale import to_display_grayscale
from pleura.radiograph.pixel_data import prepare_pixel_data
from pleura.radiograph.pixels import Radiograph, require_allowed_size
from pleura.radiograph.transfer_syntaxes import TRANSFER_SYNTAXES, is_native

# Values of (0018,5101), PS3.3 C.8.1.2 and C.8.11.5; other text in this attribute may name a person.
_VIEW_POSITIONS = frozenset({"PA", "AP", "LL", "RL", "LLD", "RLD", "LLO", "RLO"})


def read_dicom(file: bytes, max_pixels: int) -> Radiograph:
    """Decode a single-frame DICOM file as it would be displayed.

    Raises:
        UnreadableRadiograph: The file is damaged, contradicts itself, or uses what Pleura cannot decode.
        RefusedRadiograph: The file has several frames, a colour palette, or an uncertain polarity.
        TooLarge: The header announces more than ``max_pixels`` pixels, or the file inflates too much.
    """
    with warnings.catch_warnings():
        # pydicom's warnings quote values; a damaged file may hold any text anywhere.
        warnings.simplefilter("ignore")
        try:
            return _read(file, max_pixels)
        except (PleuraError, MemoryError):
            raise
        except Exception as error:  # whatever pydicom and its codecs raise on damaged bytes
            raise UnreadableRadiograph("the DICOM file is damaged") from error


def _read(file: bytes, max_pixels: int) -> Radiograph:
    dataset = parse_dicom_file(file)
    if "PixelData" not in dataset:
        raise UnreadableRadiograph("the DICOM file holds no pixel data")
    layout = read_layout(dataset)
    require_allowed_size(layout.rows, layout.columns, max_pixels)
    prepare_pixel_data(dataset, layout)
    return Radiograph(
        pixels=_display(_decode(dataset, layout), dataset, layout),
        view_position=_read_view_position(dataset),
    )


def _decode(dataset: Dataset, layout: PixelLayout) -> NDArray[Any]:
    """Decode the pixel data: stored values if there is one sample per pixel, else red, green and blue."""
    decoder = get_decoder(layout.transfer_syntax)
    plugin = TRANSFER_SYNTAXES[layout.transfer_syntax].plugin
    pixels, _ = decoder.as_array(dataset, raw=layout.samples == 1, decoding_plugin=plugin)
    return pixels


def _display(
    pixels: NDArray[Any], dataset: Dataset, layout: PixelLayout
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    if layout.samples == 3:
        return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)  # type: ignore[return-value]  # uint8 or uint16, as given
    if pixels.shape != (layout.rows, layout.columns):
        raise UnreadableRadiograph("the pixels of the DICOM file are not of the size that it announces")
    return to_display_grayscale(_clear_unused_bits(pixels, layout), dataset)


def _clear_unused_bits(pixels: NDArray[Any], layout: PixelLayout) -> NDArray[Any]:
    """Remove what stands in the unused bits of the cells: old overlays, or a missing sign.

    Source:
        DICOM PS3.5 section 8.1.1 (bits allocated, bits stored, high bit).
    """
    cell_bits = 8 * pixels.dtype.itemsize
    if layout.bits_stored >= cell_bits:
        return pixels
    low, high = layout.stored_range
    if not is_native(layout.transfer_syntax):
        # A lossy codec may exceed the range that was stored.
        return pixels.clip(low, high)
    if layout.high_bit == layout.bits_stored - 1 and low <= pixels.min() and pixels.max() <= high:
        return pixels
    shifted: NDArray[Any] = np.left_shift(pixels, cell_bits - 1 - layout.high_bit)
    return np.right_shift(shifted, cell_bits - layout.bits_stored)  # type: ignore[no-any-return]  # dtype as given


def _read_view_position(dataset: Dataset) -> str | None:
    position = str(dataset.get("ViewPosition", ""))
    return position if position in _VIEW_POSITIONS else None
