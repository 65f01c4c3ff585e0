"""Pixel data without compression: its length, what may stand behind it, and deflated frames."""

import zlib
from typing import Final

from pleura.errors import UnreadableRadiograph
from pleura.radiograph.dicom_layout import PixelLayout

_MAX_PADDING_BYTES: Final = 2**16


def require_native_length(pixel_data: bytes, expected: int, layout: PixelLayout) -> None:
    """Require the bytes that the pixels need, and behind them nothing but padding.

    Some devices pad to a sector or a word. But whole rows or columns with content mean that the header gives
    wrong dimensions, and that the picture would be sheared.

    Raises:
        UnreadableRadiograph: There are fewer bytes, or there is content behind the pixels.

    Source:
        DICOM PS3.5 section 8.1.1 (a receiver ignores what stands behind the pixels).
    """
    padding = pixel_data[expected:]
    if len(pixel_data) < expected or (padding and not _is_padding(padding, expected, layout)):
        raise UnreadableRadiograph(
            f"the header announces {expected} bytes of pixels, there are {len(pixel_data)}"
        )


def _is_padding(padding: bytes, expected: int, layout: PixelLayout) -> bool:
    if len(padding) == 1 or not padding.strip(padding[:1]):
        return True
    cell = layout.samples * layout.bits_allocated // 8
    lines = (layout.rows * cell, layout.columns * cell)
    return len(padding) < min(_MAX_PADDING_BYTES, expected) and all(len(padding) % line for line in lines)


def inflate_frame(stream: bytes, expected: int) -> bytes:
    """Inflate a frame of the transfer syntax Deflated Image Frame Compression.

    Raises:
        UnreadableRadiograph: The frame is damaged, cut short, or longer than expected.

    Source:
        DICOM PS3.5 A.4.13, RFC 1951.
    """
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(stream, expected + _MAX_PADDING_BYTES)
    except zlib.error as error:
        raise UnreadableRadiograph("the deflated pixels of the DICOM file are damaged") from error
    if not inflater.eof:
        raise UnreadableRadiograph("the deflated pixels of the DICOM file are cut short or too long")
    return inflated
