"""PNG and JPEG files: their headers are read here, so that OpenCV only sees what is bounded and whole."""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pleura.errors import RefusedRadiograph, UnreadableRadiograph
from transformer.radiograph_codecs import jpeg_frame
from transformer.radiograph_pixels import check_size

PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC: Final = b"\xff\xd8\xff"

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
_KEPT_CHUNKS: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND"})
_MAX_EXIF_BYTES: Final = 65_536
_ALPHA_COLOURS: Final = (4, 6)
_HUFFMAN_FRAMES: Final = (0xC0, 0xC1, 0xC2)
_MAX_SCANS: Final = 64
_MAX_SCANNED_PIXELS: Final = 1_000_000_000


def read_png(file: bytes, max_pixels: int) -> Pixels:
    """Decode a PNG of any colour type and depth to grey; what is transparent is black.

    Only the chunks that make the picture reach the decoder: text and colour profiles can be bombs.

    Raises:
        UnreadableRadiograph: It is damaged or cut short.
        RefusedRadiograph: It is an animation.
        TooLarge: It announces more than ``max_pixels`` pixels.
    """
    chunks = list(_chunks(file))
    if chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        raise UnreadableRadiograph("the PNG has no header")
    columns, rows, _, colour = struct.unpack_from(">IIBB", chunks[0][1])
    check_size(rows, columns, max_pixels)
    names = {name for name, _ in chunks}
    if b"acTL" in names:
        raise RefusedRadiograph("the PNG is an animation, not one radiograph")
    whole = b"".join([PNG_MAGIC, *(_as_chunk(name, body) for name, body in chunks if _is_kept(name, body))])
    if colour in _ALPHA_COLOURS or b"tRNS" in names:
        return _on_black(_decoded(whole, cv2.IMREAD_UNCHANGED, "PNG"))
    return _decoded(whole, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH, "PNG")


def read_jpeg(file: bytes, max_pixels: int) -> Pixels:
    """Decode a JPEG to grey, turned as its EXIF orientation says.

    It is always decoded in full: the codec's own halving is twice as fast, but moved tensors of real
    radiographs by up to 2 grey levels, and by up to 16 where a side is odd.

    Raises:
        UnreadableRadiograph: It is damaged, cut short, coded arithmetically or without loss, or has four
            colours (of what polarity?).
        TooLarge: It announces more than ``max_pixels`` pixels.
    """
    frame = jpeg_frame(file)
    check_size(frame.rows, frame.columns, max_pixels)
    if frame.components not in (1, 3):
        raise UnreadableRadiograph(f"the JPEG has {frame.components} colour channels")
    if frame.kind not in _HUFFMAN_FRAMES or frame.precision != 8:
        raise UnreadableRadiograph("the JPEG is of a kind that is not supported")
    if file.rfind(b"\xff\xd9") < frame.scan_at:
        raise UnreadableRadiograph("the JPEG is cut short")
    scans = file.count(b"\xff\xda", frame.scan_at)
    if scans > _MAX_SCANS or scans * frame.rows * frame.columns > _MAX_SCANNED_PIXELS:
        raise UnreadableRadiograph(f"the JPEG would take {scans} passes to decode")
    return _decoded(file, cv2.IMREAD_GRAYSCALE, "JPEG")


def _chunks(file: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG up to its end, each whole and with the right checksum."""
    at, name = len(PNG_MAGIC), b""
    while name != b"IEND":
        if len(file) < at + 12:
            raise UnreadableRadiograph("the PNG is cut short")
        length = int.from_bytes(file[at : at + 4], "big")
        name, body = file[at + 4 : at + 8], file[at + 8 : at + 8 + length]
        if len(file) < at + 12 + length:
            raise UnreadableRadiograph("the PNG is cut short")
        if name in _KEPT_CHUNKS and _checksum(name, body) != file[at + 8 + length : at + 12 + length]:
            raise UnreadableRadiograph("the PNG is damaged")
        yield name, body if name in _KEPT_CHUNKS else b""
        at += 12 + length


def _is_kept(name: bytes, body: bytes) -> bool:
    return name in _KEPT_CHUNKS and (name != b"eXIf" or len(body) <= _MAX_EXIF_BYTES)


def _as_chunk(name: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + name + body + _checksum(name, body)


def _checksum(name: bytes, body: bytes) -> bytes:
    return zlib.crc32(body, zlib.crc32(name)).to_bytes(4, "big")


def _decoded(file: bytes, flags: int, form: str) -> Pixels:
    try:
        pixels = cv2.imdecode(np.frombuffer(file, np.uint8), flags)
    except cv2.error as error:
        raise UnreadableRadiograph(f"the {form} cannot be decoded") from error
    if pixels is None or pixels.dtype not in (np.uint8, np.uint16):
        raise UnreadableRadiograph(f"the {form} cannot be decoded")
    return pixels  # type: ignore[return-value]  # the stubs know neither depth


def _on_black(pixels: Pixels) -> Pixels:
    if pixels.ndim == 2:
        return pixels
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGRA2GRAY if pixels.shape[2] == 4 else cv2.COLOR_BGR2GRAY)
    if pixels.shape[2] == 4:
        opaque = float(np.iinfo(pixels.dtype).max)
        grey = cv2.multiply(grey, pixels[..., 3], scale=1.0 / opaque)
    return grey  # type: ignore[return-value]  # as above
