"""Decode a JPEG XL codestream, after its header was compared with the size that the DICOM file announces."""

import struct
from collections.abc import Iterator
from typing import Final

import numpy as np
from imagecodecs import JpegxlError, jpegxl_decode

from pleura.errors import UnreadableRadiograph
from pleura.radiograph.dicom_layout import PixelLayout

_CODESTREAM: Final = b"\xff\x0a"
_CONTAINER: Final = b"\0\0\0\x0cJXL \r\n\x87\n"
_SIZE_BITS: Final = (9, 13, 18, 30)
_RATIOS: Final = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_HEADER_BYTES: Final = 16
_DAMAGED: Final = "the JPEG XL codestream is damaged or cut short"


def decode_jpeg_xl(stream: bytes, layout: PixelLayout) -> bytes:
    """Decode a frame to native pixels, little endian; colours are red, green and blue, pixel by pixel.

    Raises:
        UnreadableRadiograph: The stream is damaged, or has another size, or more bits, than announced.
    """
    if read_jpeg_xl_size(stream) != (layout.rows, layout.columns):
        raise UnreadableRadiograph("the compressed pixels are not of the size that the DICOM file announces")
    try:
        pixels = jpegxl_decode(stream, numthreads=1)
    except (JpegxlError, ValueError, RuntimeError) as error:  # what the codec raises on damaged data
        raise UnreadableRadiograph(_DAMAGED) from error
    shape = (layout.rows, layout.columns) + ((3,) if layout.samples == 3 else ())
    if pixels.shape != shape:
        raise UnreadableRadiograph("the compressed pixels are not of the size that the DICOM file announces")
    cell = np.dtype("u1" if layout.bits_allocated == 8 else "<u2")
    if pixels.dtype.kind != "u" or pixels.dtype.itemsize > cell.itemsize:
        raise UnreadableRadiograph("the compressed pixels of the DICOM file have more bits than it announces")
    return pixels.astype(cell, copy=False).tobytes()


def read_jpeg_xl_size(stream: bytes) -> tuple[int, int]:
    """Read rows and columns from the size header: a decoder allocates what the header announces.

    Raises:
        UnreadableRadiograph: There is no codestream, or its size header is cut short.

    Source:
        ISO/IEC 18181-1 (size header), 18181-2 (boxes).
    """
    header = _find_codestream(stream)[:_HEADER_BYTES]
    if not header.startswith(_CODESTREAM):
        raise UnreadableRadiograph("the pixel data is not a JPEG XL codestream")
    if len(header) < _HEADER_BYTES:
        raise UnreadableRadiograph(_DAMAGED)
    bits = _BitReader(header[len(_CODESTREAM) :])
    is_small = bits.read(1)
    rows = _read_side(bits, is_small)
    ratio = bits.read(3)
    if ratio == 0:
        return rows, _read_side(bits, is_small)
    numerator, denominator = _RATIOS[ratio - 1]
    return rows, rows * numerator // denominator


class _BitReader:
    """Reads unsigned numbers, the least significant bit first."""

    def __init__(self, content: bytes) -> None:
        self._left = int.from_bytes(content, "little")

    def read(self, bits: int) -> int:
        value = self._left & (1 << bits) - 1
        self._left >>= bits
        return value


def _read_side(bits: _BitReader, is_small: int) -> int:
    if is_small:
        return (bits.read(5) + 1) * 8
    return bits.read(_SIZE_BITS[bits.read(2)]) + 1


def _find_codestream(stream: bytes) -> bytes:
    """Take the codestream out of a container, which may hold it in parts."""
    if not stream.startswith(_CONTAINER):
        return stream
    codestream = b""
    for kind, content in _split_boxes(stream):
        if kind == b"jxlc":
            return content
        if kind == b"jxlp":
            codestream += content[4:]  # behind the index of the part
        if len(codestream) >= _HEADER_BYTES:
            break
    return codestream


def _split_boxes(stream: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Give kind and content of each box; a length of 0 reaches to the end, 1 has 64 bits that follow."""
    offset = 0
    while offset + 8 <= len(stream):
        length, kind = struct.unpack_from(">I4s", stream, offset)
        start = offset + 8
        if length == 1 and offset + 16 <= len(stream):
            (length,) = struct.unpack_from(">Q", stream, start)
            start += 8
        end = offset + length if length else len(stream)
        if end < start:
            return
        yield kind, stream[start:end]
        offset = end
