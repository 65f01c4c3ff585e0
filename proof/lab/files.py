"""Make small files of every kind that a decoder may meet."""

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

MAX_PIXELS = 100_000_000


def make_gradient(rows: int = 40, columns: int = 60, dtype: str = "u2", top: int = 4095) -> NDArray[Any]:
    """Make stored values from 0 at the left to ``top`` at the right. A mark breaks the symmetry."""
    pixels = np.tile(np.linspace(0, top, columns), (rows, 1))
    pixels[: rows // 4, : columns // 3] = top / 2
    return np.rint(pixels).astype(dtype)


def make_dicom(
    pixels: NDArray[Any] | None = None, *, syntax: str = uid.ExplicitVRLittleEndian, **elements: Any
) -> bytes:
    """Make a DICOM file of ``pixels``. ``elements`` are set last, and None removes an element."""
    pixels = make_gradient() if pixels is None else pixels
    item_bytes = pixels.dtype.itemsize
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = uid.DigitalXRayImageStorageForPresentation, "1.2.3.4"
    dataset.PatientName, dataset.PatientID = "Planted^Name", "PLANTED-4711"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    dataset.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = (
        8 * item_bytes,
        8 * item_bytes,
        8 * item_bytes - 1,
    )
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    order: Literal["<", ">"] = ">" if syntax == uid.ExplicitVRBigEndian else "<"
    body = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    # DICOM has no values of odd length (PS3.5 7.1).
    dataset.PixelData = body + b"\0" * (len(body) % 2)
    # The standard allows OB and OW, and pydicom does not choose.
    dataset["PixelData"].VR = "OW" if item_bytes == 2 else "OB"
    for keyword, value in elements.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return encode_dicom(dataset, syntax)


def encode_dicom(dataset: Dataset, syntax: str) -> bytes:
    """Encode a dataset as a DICOM file."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.UID(syntax)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def encode_png(pixels: NDArray[Any]) -> bytes:
    """Encode ``pixels`` as PNG. Colours are in OpenCV's order."""
    return cv2.imencode(".png", pixels)[1].tobytes()


def encode_jpeg(pixels: NDArray[Any], quality: int = 95) -> bytes:
    """Encode ``pixels`` as JPEG. Colours are in OpenCV's order."""
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def encode_jpeg_lossless(pixels: NDArray[Any], bits: int) -> bytes:
    """Encode ``pixels`` of 2 to 15 bits as lossless JPEG. Each pixel is predicted by the one before it.

    Source:
        ITU-T T.81 annex H, selection value 1; each of the 17 categories of differences has a code of 5 bits.
    """
    values = pixels.astype(int)
    predicted = np.concatenate([values[:, :1] * 0, values[:, :-1]], axis=1)
    # The first pixel of a line is predicted by the pixel above it.
    predicted[1:, 0], predicted[0, 0] = values[:-1, 0], 2 ** (bits - 1)
    bits_text = "".join(_encode_difference(int(difference)) for difference in (values - predicted).ravel())
    # T.81 fills the last byte with ones.
    bits_text += "1" * (-len(bits_text) % 8)
    # A zero follows each byte 0xFF in coded data, because 0xFF begins a marker.
    data = int(bits_text, 2).to_bytes(len(bits_text) // 8, "big").replace(b"\xff", b"\xff\0")
    rows, columns = pixels.shape
    return _build_lossless_jpeg(bits, rows, columns, b"\1", data)


def make_lossless_colour_jpeg(rows: int, columns: int) -> bytes:
    """Make a lossless JPEG with 8 bits a component. Every pixel has the same colour."""
    return _build_lossless_jpeg(8, rows, columns, b"\1\2\3", bytes(rows * columns * 3 * 5 // 8 + 1))


def _build_lossless_jpeg(bits: int, rows: int, columns: int, components: bytes, data: bytes) -> bytes:
    lengths = bytes([0, 0, 0, 0, 17, *[0] * 11])
    table = b"\xff\xc4" + (19 + 17).to_bytes(2, "big") + b"\0" + lengths + bytes(range(17))
    number = len(components)
    frame = b"\xff\xc3" + struct.pack(">HBHHB", 8 + 3 * number, bits, rows, columns, number)
    frame += b"".join(bytes([component, 0x11, 0]) for component in components)
    scan = b"\xff\xda" + struct.pack(">HB", 6 + 2 * number, number)
    scan += b"".join(bytes([component, 0]) for component in components) + b"\1\0\0"
    return b"\xff\xd8" + table + frame + scan + data + b"\xff\xd9"


def _encode_difference(difference: int) -> str:
    """Encode a difference as its category and its position within the category."""
    category = abs(difference).bit_length()
    if not category:
        return f"{0:05b}"
    rank = difference if difference > 0 else difference + 2**category - 1
    return f"{category:05b}{rank:0{category}b}"


def make_png_chunk(name: bytes, body: bytes) -> bytes:
    """Make a PNG chunk with its checksum."""
    return len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")


def make_png(
    rows: int,
    columns: int,
    scanlines: bytes,
    *,
    depth: int = 8,
    colour: int = 0,
    interlaced: bool = False,
    extra: bytes = b"",
) -> bytes:
    """Make a PNG from scanlines, with a header that need not fit them."""
    header = columns.to_bytes(4, "big") + rows.to_bytes(4, "big") + bytes([depth, colour, 0, 0, interlaced])
    body = make_png_chunk(b"IDAT", zlib.compress(scanlines, 9)) + make_png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + make_png_chunk(b"IHDR", header) + extra + body


def add_exif_orientation(file: bytes, orientation: int) -> bytes:
    """Insert an EXIF orientation into a JPEG."""
    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01" + orientation.to_bytes(2, "big") + b"\0\0"
    tiff = b"MM\0\x2a\0\0\0\x08\0\x01" + entry + b"\0\0\0\0"
    segment = b"Exif\0\0" + tiff
    return file[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + file[2:]


def change_coded_data(stream: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Change the coded data of the last scan in a JPEG or JPEG-LS stream."""
    scan, end = stream.rindex(b"\xff\xda"), stream.rindex(b"\xff\xd9")
    begin = scan + 2 + int.from_bytes(stream[scan + 2 : scan + 4], "big")
    # an encoder may write fill bytes before a marker (T.81 B.1.1.2)
    coded = stream[begin:end].rstrip(b"\xff")
    return stream[:begin] + change(coded) + stream[begin + len(coded) :]


DAMAGE: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "the last byte lost": lambda data: data[:-1],
    "the second half lost": lambda data: data[: len(data) // 2],
    "a twentieth lost in the middle": lambda data: data[: len(data) // 2] + data[len(data) * 11 // 20 :],
    "zeros in a tenth": lambda data: (
        data[: len(data) // 2] + bytes(len(data) // 10) + data[len(data) // 2 + len(data) // 10 :]
    ),
    "a part that comes twice": lambda data: data[: len(data) // 2] + data[len(data) // 4 :],
    "nothing": lambda _: b"",
}
"""Ways to damage coded data, by name. The headers and the end marker stay as they were."""
