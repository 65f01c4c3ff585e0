"""Read a file as a radiograph: recognise its format, then decode it. The decoder workers call this."""

import re
import struct
from typing import Final

from pleura.errors import UnreadableRadiograph
from pleura.radiograph.dicom import read_dicom
from pleura.radiograph.dicom_file import has_dicom_prefix
from pleura.radiograph.observations import observe_size
from pleura.radiograph.pixels import Pixels, Radiograph
from pleura.radiograph.raster import JPEG_MAGIC, PNG_MAGIC, read_jpeg, read_png

_FIRST_GROUPS: Final = (0x0002, 0x0008)
_NO_ARRAY: Final = "PyObject pointer is null"
"""What the panic of a codec in Rust says when numpy had no memory for the array of its pixels."""
_BASE64: Final = re.compile(rb"(?:data:[a-z/]+;base64,)?[A-Za-z0-9+/_=\r\n-]{40,}")
_BASE64_BYTES: Final = 256


def read_radiograph(file: bytes, max_pixels: int) -> Radiograph:
    """Decode a DICOM, PNG or JPEG file as it would be displayed.

    Args:
        file: The whole file. A file with the DICOM prefix is read as DICOM, even if its preamble imitates
            another format.
        max_pixels: Rows times columns that may be allocated; headers are checked against it first.

    Returns:
        Pixels uint8 or uint16, shape (rows, columns), 0 black; MONOCHROME1 inverted.

    Raises:
        UnreadableRadiograph: The file has none of the three formats, or holds no decodable pixel data.
        RefusedRadiograph: The file is sound, but nobody can say what radiograph it shows. What the model was
            not made for is no error here, but among the ``observations``.
        TooLarge: The header announces more than ``max_pixels`` pixels.
    """
    try:
        return _read(file, max_pixels)
    except BaseException as error:
        # A codec in Rust raises PanicException, a BaseException, when one of its assertions fails.
        if type(error).__name__ != "PanicException":
            raise
        if str(error) == _NO_ARRAY:
            raise MemoryError from error
        raise UnreadableRadiograph("the file is damaged") from error


def _read(file: bytes, max_pixels: int) -> Radiograph:
    if not file:
        raise UnreadableRadiograph("the file is empty")
    if has_dicom_prefix(file):
        return read_dicom(file, max_pixels)
    if file.startswith(PNG_MAGIC):
        return _observe_raster(read_png(file, max_pixels))
    if file.startswith(JPEG_MAGIC):
        return _observe_raster(read_jpeg(file, max_pixels))
    if _starts_with_dicom_element(file):
        return read_dicom(file, max_pixels)
    if _BASE64.fullmatch(file[:_BASE64_BYTES]):
        raise UnreadableRadiograph("the file is base64 text: send its bytes as they are")
    raise UnreadableRadiograph("the file is neither DICOM, PNG nor JPEG")


def _observe_raster(pixels: Pixels) -> Radiograph:
    """Notice the size: PNG and JPEG files say nothing else that counts."""
    return Radiograph(pixels, observations=observe_size(*pixels.shape))


def _starts_with_dicom_element(file: bytes) -> bool:
    """Say whether a file without preamble starts with an element of the first groups, in any byte order."""
    if len(file) < 8:
        return False
    return any(struct.unpack_from(f"{order}H", file)[0] in _FIRST_GROUPS for order in "<>")
