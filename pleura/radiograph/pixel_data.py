"""Compare the pixel data of a DICOM file with its header, before a decoder allocates memory or guesses.

Each encoding of ``transfer_syntaxes`` has its check here.
"""

import struct
from collections.abc import Callable
from typing import Final

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import ExplicitVRLittleEndian

from pleura.errors import UnreadableRadiograph
from pleura.radiograph.codestream import FrameHeader, has_end_marker
from pleura.radiograph.dicom_layout import PixelLayout
from pleura.radiograph.jpeg2000_codestream import read_jpeg2000_frame
from pleura.radiograph.jpeg_codestream import (
    EXTENDED_FRAME,
    cut_behind_end,
    read_jpeg_frame,
    select_full_spectrum,
)
from pleura.radiograph.jpeg_damage import require_undamaged
from pleura.radiograph.jpeg_xl import decode_jpeg_xl
from pleura.radiograph.native_pixels import inflate_frame, require_native_length
from pleura.radiograph.rle_segments import require_sound_rle
from pleura.radiograph.sample_bits import CodedCells
from pleura.radiograph.transfer_syntaxes import (
    TRANSFER_SYNTAXES,
    Encoding,
    TransferSyntax,
    is_native,
)

_WRONG_SYNTAX: Final = "the pixel data of the DICOM file is not in the transfer syntax that it names"
_UNDEFINED_LENGTH: Final = 0xFFFFFFFF
_ITEM: Final = 0xE000FFFE
_END_OF_IMAGE: Final = b"\xff\xd9"
_MAX_ZEROS: Final = 16
Prepared = tuple[bytes, FrameHeader | None]
"""A sound stream, and its frame header; RLE has none."""


def prepare_pixel_data(dataset: Dataset, layout: PixelLayout) -> CodedCells:
    """Require that the pixel data is what the header announces, and give the cells that it codes.

    ``dataset`` gets pixel data that the decoder can read: padding behind the pixels is removed, a deflated
    frame is inflated, and a wrong scan header is corrected, see ``select_full_spectrum``.

    Raises:
        UnreadableRadiograph: The pixel data is cut short, damaged, of another size, or in another transfer
            syntax than the header announces, or Pleura does not support the transfer syntax.
    """
    raw = dataset.get_item("PixelData")
    if isinstance(raw, RawDataElement) and raw.length not in (len(raw.value or b""), _UNDEFINED_LENGTH):
        raise UnreadableRadiograph("the pixel data of the DICOM file is cut short")
    is_encapsulated = dataset["PixelData"].is_undefined_length
    if is_native(layout.transfer_syntax) and not is_encapsulated:
        return _prepare_native(dataset, dataset.PixelData, layout)
    if not is_encapsulated or is_native(layout.transfer_syntax):
        raise UnreadableRadiograph(_WRONG_SYNTAX)
    _require_whole_fragments(dataset.PixelData)
    stream = next(generate_frames(dataset.PixelData, number_of_frames=1))
    syntax = TRANSFER_SYNTAXES[layout.transfer_syntax]
    if syntax.encoding == "native_frame":
        return _prepare_native(dataset, stream, layout)
    if syntax.encoding == "deflated_frame":
        return _prepare_native(dataset, inflate_frame(stream, _count_bytes(layout)), layout)
    if syntax.encoding == "jpeg_xl":
        return _prepare_jpeg_xl(dataset, stream, syntax, layout)
    sound, frame = _PREPARE[syntax.encoding](stream, syntax, layout)
    if sound is not stream:
        dataset.PixelData = encapsulate([sound])
        dataset["PixelData"].is_undefined_length = True
    if frame is None:
        return CodedCells(layout.bits_allocated)
    return CodedCells(frame.precision, frame.is_signed, syntax.is_lossy)


def _prepare_native(dataset: Dataset, pixel_data: bytes, layout: PixelLayout) -> CodedCells:
    expected = _count_bytes(layout)
    require_native_length(pixel_data, expected, layout)
    if not is_native(layout.transfer_syntax):
        _set_native(dataset, pixel_data[:expected])
    elif len(pixel_data) > expected + 1:
        dataset.PixelData = pixel_data[:expected]
    return CodedCells(layout.bits_allocated)


def _set_native(dataset: Dataset, pixel_data: bytes) -> None:
    """Put native pixel data in the place of an encapsulated frame."""
    dataset.PixelData = pixel_data
    dataset["PixelData"].is_undefined_length = False
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian


def _prepare_jpeg_xl(
    dataset: Dataset, stream: bytes, syntax: TransferSyntax, layout: PixelLayout
) -> CodedCells:
    _set_native(dataset, decode_jpeg_xl(stream, layout))
    if layout.samples == 3:  # the decoder gives these colours, whatever the codestream holds
        dataset.PhotometricInterpretation, dataset.PlanarConfiguration = "RGB", 0
    return CodedCells(layout.bits_allocated, is_lossy=syntax.is_lossy)


def _count_bytes(layout: PixelLayout) -> int:
    """Count the bytes that the pixels need without compression."""
    values = layout.rows * layout.columns * layout.samples
    if layout.photometric_interpretation == "YBR_FULL_422":
        values = values * 2 // 3
    return values * (layout.bits_allocated // 8)


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


def _prepare_rle(stream: bytes, _syntax: TransferSyntax, layout: PixelLayout) -> Prepared:
    segments = layout.samples * layout.bits_allocated // 8
    require_sound_rle(stream, segments=segments, pixels=layout.rows * layout.columns)
    return stream, None


def _prepare_jpeg(stream: bytes, syntax: TransferSyntax, layout: PixelLayout) -> Prepared:
    frame = read_jpeg_frame(stream)
    stream = cut_behind_end(stream, frame)
    _require_announced_frame(stream, frame, syntax, layout)
    if frame.marker == EXTENDED_FRAME:
        stream = select_full_spectrum(stream, frame)
    require_undamaged(stream, frame)
    return stream, frame


def _prepare_jpeg_ls(stream: bytes, syntax: TransferSyntax, layout: PixelLayout) -> Prepared:
    frame = read_jpeg_frame(stream)
    _require_announced_frame(stream, frame, syntax, layout)
    return stream, frame  # its decoder refuses damaged data


def _prepare_jpeg2000(stream: bytes, syntax: TransferSyntax, layout: PixelLayout) -> Prepared:
    frame = read_jpeg2000_frame(stream)
    _require_announced_frame(stream, frame, syntax, layout)
    return stream, frame


def remove_zeros_before_end(dataset: Dataset) -> bool:
    """Remove the zeros that some JPEG-LS encoders write before the end of the image; False if there are none.

    Only for a stream that its decoder refuses as it is: its data may end with a zero too.
    """
    stream = next(generate_frames(dataset.PixelData, number_of_frames=1))
    end = stream.rfind(_END_OF_IMAGE)
    data = stream[:end].rstrip(b"\0")
    if not 0 < end - len(data) <= _MAX_ZEROS:
        return False
    dataset.PixelData = encapsulate([data + _END_OF_IMAGE])
    dataset["PixelData"].is_undefined_length = True
    return True


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


_PREPARE: Final[dict[Encoding, Callable[[bytes, TransferSyntax, PixelLayout], Prepared]]] = {
    "rle": _prepare_rle,
    "jpeg": _prepare_jpeg,
    "jpeg_ls": _prepare_jpeg_ls,
    "jpeg2000": _prepare_jpeg2000,
}
"""For each compressed encoding: require a sound stream, and give the stream that the decoder gets."""
