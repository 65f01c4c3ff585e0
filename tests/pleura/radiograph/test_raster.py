"""PNG and JPEG files."""

import re
import time
from collections.abc import Callable, Mapping

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pleura.errors import PleuraError, RefusedRadiograph, TooLarge, UnreadableRadiograph
from pleura.radiograph.jpeg_codestream import read_jpeg_frame, read_jpeg_scans
from pleura.radiograph.jpeg_damage import decode_strictly
from pleura.radiograph.raster import read_jpeg, read_png
from proof.lab.files import (
    DAMAGE,
    MAX_PIXELS,
    add_exif_orientation,
    change_coded_data,
    gradient,
    jpeg,
    png,
    png_chunk,
    png_with_header,
)

GREY = gradient(dtype="u1", top=255)
DEEP = gradient(top=65535)
TURNED = [(3, np.rot90(GREY, 2)), (6, np.rot90(GREY, -1)), (8, np.rot90(GREY))]


def in_colour(grey: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)


@pytest.mark.parametrize(
    "pixels", [GREY, gradient(top=65535), in_colour(GREY), in_colour(gradient(top=65535))]
)
def test_png_gives_its_greys_back(pixels: np.ndarray) -> None:
    """Grey and colour, 8 and 16 bits, keep their depth and values."""
    read = read_png(png(pixels), MAX_PIXELS)
    grey = pixels if pixels.ndim == 2 else pixels[..., 0]
    assert read.dtype == grey.dtype
    assert np.abs(read.astype(int) - grey).max() <= 1


def test_transparent_pixels_of_a_png_are_black() -> None:
    """What no viewer shows is not shown to the network either."""
    pixels = np.dstack([in_colour(np.full((8, 8), 200, np.uint8)), np.full((8, 8), 255, np.uint8)])
    pixels[:, :4, 3] = 0
    read = read_png(png(pixels), MAX_PIXELS)
    assert read[0, 0] == 0
    assert read[0, 7] == 200


@pytest.mark.parametrize("with_transparency", [False, True])
def test_palette_png_is_shown_in_its_colours(with_transparency: bool) -> None:
    """Indices are looked up, not taken for greys."""
    palette = png_chunk(b"PLTE", bytes([10, 10, 10, 240, 240, 240]))
    transparency = png_chunk(b"tRNS", b"\xff\xff") if with_transparency else b""
    lines = b"".join(b"\0" + bytes([0, 1, 0, 1]) for _ in range(4))
    read = read_png(png_with_header(4, 4, lines, colour=3, extra=palette + transparency), MAX_PIXELS)
    assert read[0].tolist() == [10, 240, 10, 240]


def test_one_bit_png_is_black_and_white() -> None:
    """Depths below 8 bits are spread over the whole range."""
    read = read_png(png_with_header(2, 8, b"\0\x0f\0\xf0", depth=1), MAX_PIXELS)
    assert read[0].tolist() == [0] * 4 + [255] * 4


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("size", [60_000, 2**31 - 1])
def test_huge_png_is_refused_by_its_header(size: int, interlaced: bool) -> None:
    """Nothing is allocated for what the header announces."""
    with pytest.raises(TooLarge):
        read_png(png_with_header(size, size, b"\0" * 1000, interlaced=interlaced), MAX_PIXELS)


def test_bombs_in_text_and_profiles_are_never_inflated() -> None:
    """Chunks that make no picture do not reach the decoder."""
    bomb = b"x\0\0" + b"\x78\xda" + b"\x00" * 100_000
    extra = png_chunk(b"zTXt", bomb) + png_chunk(b"iCCP", bomb) + png_chunk(b"iTXt", bomb)
    lines = b"".join(b"\0" + bytes([0, 255]) for _ in range(2))
    assert read_png(png_with_header(2, 2, lines, extra=extra), MAX_PIXELS).tolist() == [[0, 255], [0, 255]]


def test_animated_png_is_refused() -> None:
    """Several frames are not one radiograph."""
    with pytest.raises(RefusedRadiograph):
        read_png(
            png_with_header(2, 2, b"\0\0\0" * 2, extra=png_chunk(b"acTL", b"\0\0\0\2\0\0\0\0")), MAX_PIXELS
        )


@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_cut_short_anywhere_is_an_error(form: str) -> None:
    """Half a radiograph is never answered as if the rest were grey."""
    file, read = (png(GREY), read_png) if form == "png" else (jpeg(GREY), read_jpeg)
    for end in range(8, len(file) - 2, 7):
        with pytest.raises(PleuraError):
            read(file[:end], MAX_PIXELS)


def test_png_with_too_few_lines_is_an_error() -> None:
    """A whole file that holds fewer pixels than it announces is damaged."""
    with pytest.raises(UnreadableRadiograph):
        read_png(png_with_header(100, 4, b"\0" * 5 * 50), MAX_PIXELS)


def test_flipped_bit_in_a_png_is_noticed() -> None:
    """The checksums are looked at."""
    file = bytearray(png(GREY))
    file[len(file) // 2] ^= 1
    with pytest.raises(UnreadableRadiograph):
        read_png(bytes(file), MAX_PIXELS)


@pytest.mark.parametrize("pixels", [GREY, in_colour(GREY)])
def test_jpeg_gives_its_greys_back(pixels: np.ndarray) -> None:
    """Grey and colour, within the loss of the codec."""
    assert np.abs(read_jpeg(jpeg(pixels, 100), MAX_PIXELS).astype(int) - GREY).mean() < 3


@pytest.mark.parametrize("pixels", [GREY, in_colour(GREY)])
def test_jpeg_whose_data_end_early_is_an_error(pixels: np.ndarray) -> None:
    """However few bytes are missing before the end marker, no grey stands in for them."""
    file = jpeg(pixels)
    length = len(file) - 2 - read_jpeg_frame(file).scan_offset
    for missing in range(1, length):
        with pytest.raises(UnreadableRadiograph):
            read_jpeg(file[: -2 - missing] + file[-2:], MAX_PIXELS)


def _with_segment(file: bytes, marker: int, body: bytes) -> bytes:
    """A JPEG with a segment of an application in front, of its own kind only."""
    return file[:2] + bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body + file[20:]


def _naming_no_coefficients(file: bytes) -> bytes:
    last = file.rindex(b"\xff\xda") + 2 + int.from_bytes(file[file.rindex(b"\xff\xda") + 2 :][:2], "big") - 2
    assert file[last] == 63
    return file[:last] + b"\0" + file[last + 1 :]


def _sampled_oddly(file: bytes) -> bytes:
    """Colours, each sampled in a way of its own."""
    at = file.index(b"\xff\xc0") + 10
    return file[: at + 1] + b"\x22" + file[at + 2 : at + 4] + b"\x22" + file[at + 5 :]


MINDED: Mapping[str, Callable[[bytes], bytes]] = {
    "a profile that is none": lambda file: _with_segment(file, 0xE2, b"ICC_PROFILE\0\2\1" + bytes(9)),
    "a version to come": lambda file: file[:11] + b"\3" + file[12:],
    "colours that Adobe never named": lambda file: _with_segment(file, 0xEE, b"Adobe\0\x64\0\0\0\0\x03"),
    "no coefficients": _naming_no_coefficients,
    "zeros behind its data": lambda file: file[:-2] + bytes(9) + file[-2:],
}


@pytest.mark.parametrize("pixels", [GREY, in_colour(GREY)])
@pytest.mark.parametrize("kind", MINDED)
def test_jpeg_that_libjpeg_turbo_minds_is_read_unless_it_is_damaged(kind: str, pixels: np.ndarray) -> None:
    """What some encoders and cameras write is no damage; behind it damage is noticed all the same."""
    change, file = MINDED[kind], jpeg(pixels)
    assert change(file) != file
    assert decode_strictly(change(file), read_jpeg_frame(file)) is None
    assert (read_jpeg(change(file), MAX_PIXELS) == read_jpeg(file, MAX_PIXELS)).all()
    for name in DAMAGE.keys() - {"the last byte lost"}:  # for which a zero may stand
        with pytest.raises(UnreadableRadiograph):
            read_jpeg(change(change_coded_data(file, DAMAGE[name])), MAX_PIXELS)


@pytest.mark.parametrize("stray", [bytes(100), b"\0" * 8 + b"\1", b"\xa5" * 9])
def test_jpeg_with_much_else_behind_its_data_is_an_error(stray: bytes) -> None:
    """Only a few zeros can be no data."""
    file = jpeg(GREY)
    with pytest.raises(UnreadableRadiograph):
        read_jpeg(file[:-2] + stray + file[-2:], MAX_PIXELS)


def test_progressive_jpeg_is_read_only_with_all_its_scans() -> None:
    """Where the last scans are missing the picture is there, but not sharp: it is no answer's."""
    file = cv2.imencode(".jpg", in_colour(GREY), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert np.abs(read_jpeg(file, MAX_PIXELS).astype(int) - GREY).mean() < 3
    scans = [match.start() for match in re.finditer(b"\xff\xda", file)]
    tables = [match.start() for match in re.finditer(b"\xff\xc4", file)]
    assert len(scans) > 3
    for scan in scans[1:]:
        end = max([at for at in tables if at < scan and at > scans[scans.index(scan) - 1]], default=scan)
        for behind in (b"", jpeg(GREY)):  # a small one may stand behind a large one
            with pytest.raises(UnreadableRadiograph, match="missing"):
                read_jpeg(file[:end] + b"\xff\xd9" + behind, MAX_PIXELS)


def test_progressive_jpeg_may_tell_less_of_its_colours() -> None:
    """The first component is the grey; what is not told of the others changes nothing."""
    file = cv2.imencode(".jpg", in_colour(GREY), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    frame = read_jpeg_frame(file)
    scans = list(read_jpeg_scans(file, frame))
    (blue,) = (i for i, scan in enumerate(scans) if list(scan.components) == [2] and not scan.bits_left)
    starts = [match.start() for match in re.finditer(b"\xff\xda", file)]
    ends = [match.start() for match in re.finditer(b"\xff\xc4|\xff\xda|\xff\xd9", file)]
    end = min(at for at in ends if at > starts[blue])
    less = file[: starts[blue]] + file[end:]
    assert len(list(read_jpeg_scans(less, frame))) == len(scans) - 1
    assert (read_jpeg(less, MAX_PIXELS) == read_jpeg(file, MAX_PIXELS)).all()


def test_jpeg_whose_frame_names_no_component_is_an_error() -> None:
    """It says that there is one, and nothing of it."""
    file = jpeg(GREY)
    at = file.index(b"\xff\xc0")
    with pytest.raises(UnreadableRadiograph):
        read_jpeg(file[: at + 2] + b"\0\x08" + file[at + 4 : at + 10] + file[at + 13 :], MAX_PIXELS)


@pytest.mark.parametrize("scan", [b"\xff\xda\xff\xff", b"\xff\xda\0\x08", b"\xff\xda"])
def test_scans_without_sense_cost_next_to_nothing(scan: bytes) -> None:
    """However many there are behind the image's end or before it."""
    file, began_s = jpeg(GREY), time.process_time()
    many = scan * 50 + bytes([1]) * 1_000_000
    assert (read_jpeg(file + many, MAX_PIXELS) == read_jpeg(file, MAX_PIXELS)).all()
    with pytest.raises(UnreadableRadiograph):
        read_jpeg(file[:-2] + many + file[-2:], MAX_PIXELS)
    assert time.process_time() - began_s < 0.5


def test_jpeg_whose_colours_are_sampled_in_an_odd_way_is_read() -> None:
    """TurboJPEG has no name for it; OpenCV reads it."""
    oddly = _sampled_oddly(jpeg(in_colour(np.zeros_like(GREY))))
    assert decode_strictly(oddly, read_jpeg_frame(oddly)) is None
    assert read_jpeg(oddly, MAX_PIXELS).shape == GREY.shape


@pytest.mark.parametrize(("orientation", "turned"), TURNED)
def test_exif_orientation_is_applied(orientation: int, turned: np.ndarray) -> None:
    """A radiograph photographed sideways stands upright."""
    read = read_jpeg(add_exif_orientation(jpeg(GREY), orientation), MAX_PIXELS)
    assert read.shape == turned.shape
    assert np.abs(read.astype(int) - turned).mean() < 5


def announcing(rows: int, columns: int) -> bytes:
    """A JPEG whose frame header says another size."""
    file = bytearray(jpeg(GREY))
    at = file.index(b"\xff\xc0")
    file[at + 5 : at + 9] = rows.to_bytes(2, "big") + columns.to_bytes(2, "big")
    return bytes(file)


def test_huge_jpeg_is_refused_by_its_header() -> None:
    """65,500 x 65,500 pixels are never allocated."""
    with pytest.raises(TooLarge):
        read_jpeg(announcing(65_500, 65_500), MAX_PIXELS)


def test_jpeg_without_rows_is_an_error() -> None:
    """A height that only comes later in the stream is not waited for."""
    with pytest.raises(UnreadableRadiograph):
        read_jpeg(announcing(0, 60), MAX_PIXELS)


def test_jpeg_of_a_thousand_scans_is_an_error() -> None:
    """A progressive file that would be gone through again and again is turned away."""
    file = jpeg(GREY)
    scan = file.index(b"\xff\xda")
    with pytest.raises(UnreadableRadiograph, match="passes"):
        read_jpeg(file[:scan] + file[scan:-2] * 1000 + file[-2:], MAX_PIXELS)


def test_jpeg_of_four_colours_is_an_error() -> None:
    """Whether CMYK is stored inverted is anybody's guess, so nobody guesses."""
    file = bytearray(jpeg(in_colour(GREY)))
    at = file.index(b"\xff\xc0")
    file[at + 9] = 4
    with pytest.raises(UnreadableRadiograph, match="4 colour"):
        read_jpeg(bytes(file), MAX_PIXELS)


@given(
    arrays(st.sampled_from([np.uint8, np.uint16]), st.tuples(st.integers(1, 40), st.integers(1, 40))),
    st.integers(0, 9),
)
def test_plain_greys_decode_to_what_was_encoded(pixels: np.ndarray, compression: int) -> None:
    """The decoder of plain greys loses and turns nothing, at any depth, shape and compression."""
    file = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, compression])[1].tobytes()
    read = read_png(file, 10_000)
    assert read.dtype == pixels.dtype
    assert np.array_equal(read, pixels)
