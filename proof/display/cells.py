"""Pack stored values into cells as PS3.5 section 8.1.1 allows, and code the cells."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import jpeg_ls
import numpy as np
from imagecodecs import jpegxl_encode
from numpy.typing import NDArray
from openjpeg.utils import encode_array
from pydicom import uid
from rle.utils import encode_pixel_data

from proof.lab.files import encode_jpeg_lossless
from proof.lab.pictures import encapsulate_stream

DEFLATED_IMAGE_FRAME: Final = "1.2.840.10008.1.2.8.1"
JPEG_XL_LOSSLESS: Final = "1.2.840.10008.1.2.4.110"
ENCAPSULATED_UNCOMPRESSED: Final = "1.2.840.10008.1.2.1.98"
Cells = NDArray[Any]


@dataclass(frozen=True)
class BitLayout:
    """How the samples stand in their cells."""

    allocated: int
    stored: int
    high: int
    is_signed: bool = False

    @property
    def elements(self) -> dict[str, Any]:
        """The elements of the image pixel module."""
        return {
            "BitsAllocated": self.allocated,
            "BitsStored": self.stored,
            "HighBit": self.high,
            "PixelRepresentation": int(self.is_signed),
        }

    @property
    def low(self) -> int:
        """The lowest value that can be stored."""
        return -(2 ** (self.stored - 1)) if self.is_signed else 0

    def pack(self, values: NDArray[np.int64], other_bits: int = 0) -> Cells:
        """Pack stored values into unsigned cells; ``other_bits`` stand where no sample does."""
        shift = self.high + 1 - self.stored
        mask = (2**self.stored - 1) << shift
        # The standard lets anything stand in these bits: overlays were stored there once.
        cells = ((values << shift) & mask) | (other_bits & ~mask & (2**self.allocated - 1))
        packed: Cells = cells.astype(f"u{self.allocated // 8}")
        return packed


LAYOUTS: Final = (
    BitLayout(8, 8, 7),
    BitLayout(8, 6, 5),
    # High Bit above the lowest bits: rare, allowed, and where toolkits differ.
    BitLayout(8, 6, 7),
    BitLayout(8, 7, 6, is_signed=True),
    BitLayout(16, 8, 7),
    BitLayout(16, 10, 9),
    BitLayout(16, 12, 11),
    BitLayout(16, 12, 15),
    BitLayout(16, 12, 13),
    BitLayout(16, 14, 13),
    BitLayout(16, 16, 15),
    BitLayout(16, 12, 11, is_signed=True),
    BitLayout(16, 12, 15, is_signed=True),
    BitLayout(16, 16, 15, is_signed=True),
)


def _encode_rle(cells: Cells, bits: int) -> bytes:
    rows, columns = cells.shape
    allocated = 8 * cells.itemsize
    source = cells.astype(cells.dtype.newbyteorder("<")).tobytes()
    stream: bytes = encode_pixel_data(
        source, rows=rows, columns=columns, samples_per_pixel=1, bits_allocated=allocated, byteorder="<"
    )
    return stream


def _deflate(cells: Cells, _bits: int) -> bytes:
    # Raw deflate (RFC 1951), without the header of zlib.
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflater.compress(cells.tobytes()) + deflater.flush()


def _encode_jpeg_ls(cells: Cells, bits: int) -> bytes:
    rows, columns = cells.shape
    return bytes(jpeg_ls.encode_buffer(cells.tobytes(), rows, columns, 1, bits))


ENCODERS: Final[dict[str, Callable[[Cells, int], bytes]]] = {
    ENCAPSULATED_UNCOMPRESSED: lambda cells, _bits: cells.tobytes(),
    DEFLATED_IMAGE_FRAME: _deflate,
    uid.RLELossless: _encode_rle,
    uid.JPEG2000Lossless: lambda cells, bits: encode_array(cells, bits_stored=bits),
    uid.JPEGLSLossless: _encode_jpeg_ls,
    uid.JPEGLosslessSV1: encode_jpeg_lossless,
    JPEG_XL_LOSSLESS: lambda cells, bits: bytes(jpegxl_encode(cells, lossless=True, bitspersample=bits)),
}
"""For each encapsulated transfer syntax: code unsigned cells of so many bits without loss."""
NATIVE: Final = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian)


def wrap_stream(stream: bytes, syntax: str, cells: Cells, **elements: Any) -> bytes:
    """Make a DICOM file of a stream, also in a transfer syntax that pydicom does not write."""
    if syntax in uid.AllTransferSyntaxes:
        return encapsulate_stream(stream, syntax, cells, **elements)
    return _rename_syntax(encapsulate_stream(stream, ENCAPSULATED_UNCOMPRESSED, cells, **elements), syntax)


def _rename_syntax(file: bytes, syntax: str) -> bytes:
    """Write another transfer syntax into the file meta information."""
    old, new = ENCAPSULATED_UNCOMPRESSED.encode(), syntax.encode() + b"\0" * (len(syntax) % 2)
    start = file.index(old)
    (length,) = struct.unpack_from("<I", file, 140)
    head = file[:140] + struct.pack("<I", length + len(new) - len(old)) + file[144 : start - 2]
    return head + struct.pack("<H", len(new)) + new + file[start + len(old) :]
