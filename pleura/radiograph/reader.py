"""From the bytes of a file to a radiograph as displayed: the pure core of the decoder workers."""

import struct
from typing import Final

from pleura.errors import UnreadableRadiograph
from pleura.radiograph.dicom import read_dicom
from pleura.radiograph.pixels import Radiograph as Radiograph
from pleura.radiograph.raster import JPEG_MAGIC, PNG_MAGIC, read_jpeg, read_png

_PREAMBLE: Final = 128
_FIRST_GROUPS: Final = (0x0002, 0x0008)


def read_radiograph(file: bytes, max_pixels: int) -> Radiograph:
    """Decode a DICOM, PNG or JPEG file as it would be displayed.

    Args:
        file: The whole file. What is DICOM by its prefix is read as DICOM, whatever its preamble imitates.
        max_pixels: Rows times columns that may be allocated; headers are checked against it first.

    Returns:
        Pixels uint8 or uint16, shape (rows, columns), 0 black; MONOCHROME1 inverted.

    Raises:
        UnreadableRadiograph: The bytes are none of the three, or hold no decodable pixel data.
        RefusedRadiograph: The file is fine, but no single greyscale radiograph.
        TooLarge: The header announces more than ``max_pixels`` pixels.
    """
    try:
        return _read(file, max_pixels)
    except BaseException as error:
        # of a codec in Rust that fails an assertion: no Exception, so that nobody catches it unawares
        if type(error).__name__ != "PanicException":
            raise
        raise UnreadableRadiograph("the file is damaged") from error


def _read(file: bytes, max_pixels: int) -> Radiograph:
    if not file:
        raise UnreadableRadiograph("the file is empty")
    if file[_PREAMBLE : _PREAMBLE + 4] == b"DICM":
        return read_dicom(file, max_pixels)
    if file.startswith(PNG_MAGIC):
        return Radiograph(read_png(file, max_pixels))
    if file.startswith(JPEG_MAGIC):
        return Radiograph(read_jpeg(file, max_pixels))
    if _starts_like_a_dataset(file):
        return read_dicom(file, max_pixels)
    raise UnreadableRadiograph("the file is neither DICOM, PNG nor JPEG")


def _starts_like_a_dataset(file: bytes) -> bool:
    """Say whether a file without preamble begins with an element of the first groups."""
    if len(file) < 8:
        return False
    return any(struct.unpack_from(f"{order}H", file)[0] in _FIRST_GROUPS for order in "<>")
