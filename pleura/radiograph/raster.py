"""PNG and JPEG files: their headers are read here, so that a decoder only sees what is bounded and whole."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import cv2
import kornia_rs.io
import numpy as np
from numpy.typing import NDArray

from pleura.errors import RefusedRadiograph, UnreadableRadiograph
from pleura.radiograph.codestream import read_jpeg_frame
from pleura.radiograph.jpeg_damage import decode_strictly, require_undamaged
from pleura.radiograph.pixels import require_allowed_size

PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC: Final = b"\xff\xd8\xff"

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
_KEPT_CHUNKS: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT", b"IEND"})
_MAX_EXIF_BYTES: Final = 65_536
_ALPHA_COLOURS: Final = (4, 6)
_PLAIN_CHUNKS: Final = frozenset({b"IHDR", b"IDAT", b"IEND"})
_PLAIN_DECODERS: Final = {8: kornia_rs.io.decode_image_png_u8, 16: kornia_rs.io.decode_image_png_u16}
_EXIF: Final = b"\xff\xe1"
_HUFFMAN_FRAMES: Final = (0xC0, 0xC1, 0xC2)
_MAX_SCANS: Final = 64
_MAX_SCANNED_PIXELS: Final = 1_000_000_000


def read_png(file: bytes, max_pixels: int) -> Pixels:
    """Decode a PNG of any colour type and depth to grey; what is transparent is black.

    Only the chunks that make the picture reach the decoder: text and colour profiles can be bombs. Plain
    greys, as nearly all radiographs are, go to a decoder in Rust, three times as fast as libpng on them and
    memory-safe; the rest to OpenCV.

    Raises:
        UnreadableRadiograph: It is damaged or cut short.
        RefusedRadiograph: It is an animation.
        TooLarge: It announces more than ``max_pixels`` pixels.
    """
    chunks = list(_chunks(file))
    if chunks[0].name != b"IHDR" or len(chunks[0].body) != 13:
        raise UnreadableRadiograph("the PNG has no header")
    columns, rows, depth, colour = struct.unpack_from(">IIBB", chunks[0].body)
    require_allowed_size(rows, columns, max_pixels)
    if any(chunk.name == b"acTL" for chunk in chunks):
        raise RefusedRadiograph("the PNG is an animation, not one radiograph")
    kept = [chunk for chunk in chunks if _is_kept(chunk)]
    names = {chunk.name for chunk in kept}
    whole = b"".join([PNG_MAGIC, *(chunk.whole for chunk in kept)])
    if colour == 0 and depth in _PLAIN_DECODERS and names <= _PLAIN_CHUNKS:
        return _plain(whole, rows, columns, depth)
    if colour in _ALPHA_COLOURS or b"tRNS" in names:
        return _on_black(_decoded(whole, cv2.IMREAD_UNCHANGED, "PNG"))
    return _decoded(whole, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH, "PNG")


def read_jpeg(file: bytes, max_pixels: int) -> Pixels:
    """Decode a JPEG to grey, turned as its EXIF orientation says.

    It is always decoded in full: the codec's own halving is twice as fast, but moved tensors of real
    radiographs by up to 2 grey levels, and by up to 16 where a side is odd.

    Raises:
        UnreadableRadiograph: It is damaged, in its data too, cut short, coded arithmetically or without loss,
            or has four colours (of what polarity?).
        TooLarge: It announces more than ``max_pixels`` pixels.
    """
    frame = read_jpeg_frame(file)
    require_allowed_size(frame.rows, frame.columns, max_pixels)
    if frame.components not in (1, 3):
        raise UnreadableRadiograph(f"the JPEG has {frame.components} colour channels")
    if frame.kind not in _HUFFMAN_FRAMES or frame.precision != 8:
        raise UnreadableRadiograph("the JPEG is of a kind that is not supported")
    if file.rfind(b"\xff\xd9") < frame.scan_at:
        raise UnreadableRadiograph("the JPEG is cut short")
    scans = file.count(b"\xff\xda", frame.scan_at)
    if scans > _MAX_SCANS or scans * frame.rows * frame.columns > _MAX_SCANNED_PIXELS:
        raise UnreadableRadiograph(f"the JPEG would take {scans} passes to decode")
    may_be_turned = _EXIF in file[: frame.scan_at]
    grey = None if may_be_turned else decode_strictly(file, frame)
    if grey is not None:
        return grey
    require_undamaged(file, frame)
    return _decoded(file, cv2.IMREAD_GRAYSCALE, "JPEG")


@dataclass(frozen=True)
class _Chunk:
    """A chunk of a PNG: its body alone, and all of it."""

    name: bytes
    body: memoryview
    whole: memoryview


def _chunks(file: bytes) -> Iterator[_Chunk]:
    """The chunks of a PNG up to its end, each whole and with the right checksum."""
    view, at, name = memoryview(file), len(PNG_MAGIC), b""
    while name != b"IEND":
        if len(view) < at + 12:
            raise UnreadableRadiograph("the PNG is cut short")
        end = at + 12 + int.from_bytes(view[at : at + 4], "big")
        if len(view) < end:
            raise UnreadableRadiograph("the PNG is cut short")
        name = bytes(view[at + 4 : at + 8])
        checksum = int.from_bytes(view[end - 4 : end], "big")
        if name in _KEPT_CHUNKS and zlib.crc32(view[at + 4 : end - 4]) != checksum:
            raise UnreadableRadiograph("the PNG is damaged")
        yield _Chunk(name, view[at + 8 : end - 4], view[at:end])
        at = end


def _is_kept(chunk: _Chunk) -> bool:
    return chunk.name in _KEPT_CHUNKS and (chunk.name != b"eXIf" or len(chunk.body) <= _MAX_EXIF_BYTES)


def _plain(file: bytes, rows: int, columns: int, depth: int) -> Pixels:
    try:
        pixels: Pixels = _PLAIN_DECODERS[depth](file, (rows, columns), "mono")
    except Exception as error:  # it raises nothing more special on damaged files
        raise UnreadableRadiograph("the PNG cannot be decoded") from error
    return pixels[..., 0]


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
