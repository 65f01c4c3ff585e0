"""Decode a DICOM file to the greys that a viewer shows: parse, check, decode, display."""

import warnings
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import Decoder, get_decoder

from pleura.errors import PleuraError, RefusedRadiograph, UnreadableRadiograph
from pleura.radiograph.dicom_file import parse_dicom_file
from pleura.radiograph.dicom_layout import PixelLayout, read_layout
from pleura.radiograph.displayable import require_displayable
from pleura.radiograph.functional_groups import apply_functional_groups
from pleura.radiograph.grayscale import to_display_grayscale
from pleura.radiograph.header_identifiers import read_header_identifiers
from pleura.radiograph.header_observations import observe_header
from pleura.radiograph.observations import RadiographObservation, observe_size
from pleura.radiograph.orientation import read_orientation, turn_upright
from pleura.radiograph.pixel_data import prepare_pixel_data, remove_zeros_before_end
from pleura.radiograph.pixels import Radiograph, require_allowed_size
from pleura.radiograph.sample_bits import CodedCells, extract_samples
from pleura.radiograph.shutter import Shutter, read_shutter
from pleura.radiograph.transfer_syntaxes import TRANSFER_SYNTAXES

# Values of (0018,5101), PS3.3 C.8.1.2 and C.8.11.5; other text in this attribute may name a person.
_VIEW_POSITIONS = frozenset({"PA", "AP", "LL", "RL", "LLD", "RLD", "LLO", "RLO"})

_COLOUR_STEP: Final = 4
_COLOUR_SPREAD: Final = 0.125
_COLOURED_SHARE: Final = 0.05

# pydicom's corrections take Bits Stored bits from the bottom, wherever High Bit is.
_NO_CORRECTIONS: Final[dict[str, Any]] = {
    "correct_unused_bits": False,
    "apply_j2k_sign_correction": False,
    "apply_jls_sign_correction": False,
}


def read_dicom(file: bytes, max_pixels: int) -> Radiograph:
    """Decode a single-frame DICOM file as it would be displayed.

    Raises:
        UnreadableRadiograph: The file is damaged, contradicts itself, or uses what Pleura cannot decode.
        RefusedRadiograph: The file holds no picture, or several, of another kind than a radiograph, is not
            meant for display, or asks for a display that Pleura does not apply.
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
    try:
        _require_pixel_data(dataset)
        apply_functional_groups(dataset)
        layout = read_layout(dataset)
    except (RefusedRadiograph, UnreadableRadiograph):
        _refuse_other_object(dataset)
        raise
    require_displayable(dataset)
    require_allowed_size(layout.rows, layout.columns, max_pixels)
    orientation = read_orientation(dataset)
    shutter = read_shutter(dataset, layout.rows, layout.columns)
    cells = prepare_pixel_data(dataset, layout)
    decoded = _decode(dataset, layout)
    return Radiograph(
        observations=(
            *observe_header(dataset),
            *_observe_colours(decoded, layout),
            *observe_size(layout.rows, layout.columns),
        ),
        pixels=turn_upright(_display(decoded, cells, dataset, layout, shutter), orientation),
        view_position=_read_view_position(dataset),
        identifiers=read_header_identifiers(dataset),
    )


def _require_pixel_data(dataset: Dataset) -> None:
    if "PixelData" not in dataset:
        raise UnreadableRadiograph("the DICOM file holds no pixel data")


def _refuse_other_object(dataset: Dataset) -> None:
    """Refuse a report, a volume or a film by what it is: that says more than what is missing in it."""
    for observation in observe_header(dataset):
        if observation.code == "not_a_radiograph":
            raise RefusedRadiograph(observation.text, reason="not_a_radiograph")


def _observe_colours(decoded: NDArray[Any], layout: PixelLayout) -> tuple[RadiographObservation, ...]:
    """Notice a picture in colours. A grey one may be stored as red, green and blue, with coloured marks."""
    if layout.samples != 3:
        return ()
    spread = np.ptp(decoded[::_COLOUR_STEP, ::_COLOUR_STEP].astype(np.int32), axis=-1)
    if np.mean(spread > layout.stored_range[1] * _COLOUR_SPREAD) <= _COLOURED_SHARE:
        return ()
    return (RadiographObservation("not_a_radiograph", "the picture of the DICOM file is in colours"),)


def _decode(dataset: Dataset, layout: PixelLayout) -> NDArray[Any]:
    """Decode the pixel data: the coded cells if there is one sample per pixel, else red, green and blue."""
    syntax = TRANSFER_SYNTAXES[layout.transfer_syntax]
    is_frame = syntax.encoding in ("native_frame", "deflated_frame", "jpeg_xl")  # now without encapsulation
    decoder = get_decoder(uid.ExplicitVRLittleEndian if is_frame else syntax.uid)
    try:
        return _run_decoder(decoder, dataset, layout, syntax.plugin)
    except RuntimeError:
        if syntax.encoding != "jpeg_ls" or not remove_zeros_before_end(dataset):
            raise
        return _run_decoder(decoder, dataset, layout, syntax.plugin)


def _run_decoder(decoder: Decoder, dataset: Dataset, layout: PixelLayout, plugin: str) -> NDArray[Any]:
    pixels, _ = decoder.as_array(dataset, raw=layout.samples == 1, decoding_plugin=plugin, **_NO_CORRECTIONS)
    return pixels


def _display(
    pixels: NDArray[Any],
    cells: CodedCells,
    dataset: Dataset,
    layout: PixelLayout,
    shutter: Shutter | None,
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    if layout.samples == 3:
        if int(pixels.max()) > layout.stored_range[1]:
            raise UnreadableRadiograph("the colours of the DICOM file have more bits than it announces")
        grey: NDArray[Any] = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
        if shutter is not None:
            grey[shutter.hidden] = np.rint(shutter.grey * layout.stored_range[1])
        return grey
    if pixels.shape != (layout.rows, layout.columns):
        raise UnreadableRadiograph("the pixels of the DICOM file are not of the size that it announces")
    return to_display_grayscale(extract_samples(pixels, cells, layout), dataset, layout, shutter)


def _read_view_position(dataset: Dataset) -> str | None:
    position = str(dataset.get("ViewPosition", ""))
    return position if position in _VIEW_POSITIONS else None
