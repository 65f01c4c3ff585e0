"""Compare the pixel data of a DICOM file with its header, before a decoder allocates memory or guesses.

Each encoding of ``transfer_syntaxes`` has its check here.
"""

import struct
from collections.abc import Callable
from typing import Final

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames

from pleura.errors import UnreadableRadiograph
from pleura.radiograph.codestream import FrameHeader, has_end_marker
from pleura.radiograph.dicom_layout import PixelLayout
from pleura.radiograph.jpeg2000_codestream import read_jpeg2000_frame
from pleura.radiograph.jpeg_codestream import EXTENDED_FRAME, read_jpeg_frame, select_full_spectrum
from pleura.radiograph.jpeg_damage import require_undamaged
from pleura.radiograph.rle_segments import require_sound_rle
from pleura.radiograph.transfer_syntaxes import TRANSFER_SYNTAXES, Encoding, TransferSyntax, is_native

_WRONG_SYNTAX: Final = "the pixel data of the DICOM file is not in the transfer syntax that it names"
_UNDEFINED_LENGTH: Final = 0xFFFFFFFF
_ITEM: Final = 0xE000FFFE


def prepare_pixel_data(dataset: Dataset, layout: PixelLayout) -> None:
    """Require that the pixel data is what the header announces.

    A scan header that some encoders write wrongly is corrected in ``dataset``, see ``select_full_spectrum``.

    Raises:
        UnreadableRadiograph: The pixel data is cut short, damaged, of another size, or in another transfer
            syntax than the header announces, or Pleura does not support the transfer syntax.
    """
    raw = dataset.get_item("PixelData")
    if isinstance(raw, RawDataElement) and raw.length not in (len(raw.value or b""), _UNDEFINED_LENGTH):
        raise UnreadableRadiograph("the pixel data of the DICOM file is cut short")
    is_encapsulated = dataset["PixelData"].is_undefined_length
    if is_native(layout.transfer_syntax) and not is_encapsulated:
        _require_native_length(dataset.PixelData, layout)
        return
    if not is_encapsulated or is_native(layout.transfer_syntax):
        raise UnreadableRadiograph(_WRONG_SYNTAX)
    _require_whole_fragments(dataset.PixelData)
    stream = next(generate_frames(dataset.PixelData, number_of_frames=1))
    syntax = TRANSFER_SYNTAXES.get(layout.transfer_syntax)
    if syntax is None:
        uid = layout.transfer_syntax
        name = uid.name if uid.is_transfer_syntax else "unknown"
        raise UnreadableRadiograph(f"the transfer syntax of the DICOM file is not supported: {name}")
    sound = _PREPARE[syntax.encoding](stream, syntax, layout)
    if sound is not stream:
        dataset.PixelData = encapsulate([sound])
        dataset["PixelData"].is_undefined_length = True


def _require_native_length(pixel_data: bytes, layout: PixelLayout) -> None:
    """Require as many bytes as the pixels need, and one more to make it even (PS3.5 section 8.1.1)."""
    values = layout.rows * layout.columns * layout.samples
    if layout.photometric_interpretation == "YBR_FULL_422":
        values = values * 2 // 3
    expected = values * (layout.bits_allocated // 8)
    if not expected <= len(pixel_data) <= expected + expected % 2:
        raise UnreadableRadiograph(
            f"the header announces {expected} bytes of pixels, there are {len(pixel_data)}"
        )


def _require_whole_fragments(pixel_data: bytes) -> None:
    """Require that each fragment is as long as its item announces (PS3.5 A.4)."""
    offset = 0
    while offset + 8 <= len(pixel_data):
        item, length = struct.unpack_from("<II", pixel_data, offset)
        if item != _ITEM:
            break
        offset += 8 + length
    if offset != len(pixel_data):
        raise UnreadableRadiograph("the fragments of the DICOM file are damaged or cut short")


def _prepare_rle(stream: bytes, _syntax: TransferSyntax, layout: PixelLayout) -> bytes:
    segments = layout.samples * layout.bits_allocated // 8
    require_sound_rle(stream, segments=segments, pixels=layout.rows * layout.columns)
    return stream


def _prepare_jpeg(stream: bytes, syntax: TransferSyntax, layout: PixelLayout) -> bytes:
    frame = read_jpeg_frame(stream)
    _require_announced_frame(stream, frame, syntax, layout)
    if frame.marker == EXTENDED_FRAME:
        stream = select_full_spectrum(stream, frame)
    require_undamaged(stream, frame)
    return stream


def _prepare_jpeg_ls(stream: bytes, syntax: TransferSyntax, layout: PixelLayout) -> bytes:
    _require_announced_frame(stream, read_jpeg_frame(stream), syntax, layout)
    return stream  # its decoder refuses damaged data


def _prepare_jpeg2000(stream: bytes, syntax: TransferSyntax, layout: PixelLayout) -> bytes:
    _require_announced_frame(stream, read_jpeg2000_frame(stream), syntax, layout)
    return stream


def _require_announced_frame(
    stream: bytes, frame: FrameHeader, syntax: TransferSyntax, layout: PixelLayout
) -> None:
    if frame.marker not in syntax.frame_markers:
        raise UnreadableRadiograph(_WRONG_SYNTAX)
    if (frame.rows, frame.columns, frame.components) != (layout.rows, layout.columns, layout.samples):
        raise UnreadableRadiograph("the compressed pixels are not of the size that the DICOM file announces")
    if not 2 <= frame.precision <= layout.bits_allocated:
        raise UnreadableRadiograph("the compressed pixels of the DICOM file have more bits than it announces")
    if not has_end_marker(stream):
        raise UnreadableRadiograph("the compressed pixels of the DICOM file are cut short")


_PREPARE: Final[dict[Encoding, Callable[[bytes, TransferSyntax, PixelLayout], bytes]]] = {
    "rle": _prepare_rle,
    "jpeg": _prepare_jpeg,
    "jpeg_ls": _prepare_jpeg_ls,
    "jpeg2000": _prepare_jpeg2000,
}
"""For each encapsulated encoding: require a sound stream, and give the stream that the decoder gets."""
