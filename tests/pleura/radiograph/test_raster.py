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
    encode_jpeg,
    encode_png,
    make_gradient,
    make_png,
    make_png_chunk,
)

GREY = make_gradient(dtype="u1", top=255)
DEEP = make_gradient(top=65535)
TURNED = [(3, np.rot90(GREY, 2)), (6, np.rot90(GREY, -1)), (8, np.rot90(GREY))]


def in_colour(grey: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)


@pytest.mark.parametrize(
    "pixels", [GREY, make_gradient(top=65535), in_colour(GREY), in_colour(make_gradient(top=65535))]
)
def test_png_keeps_its_greys(pixels: np.ndarray) -> None:
    """Grey and colour, 8 and 16 bits, keep their depth and values."""
    read = read_png(encode_png(pixels), MAX_PIXELS)
    grey = pixels if pixels.ndim == 2 else pixels[..., 0]
    assert read.dtype == grey.dtype
    assert np.abs(read.astype(int) - grey).max() <= 1


def test_transparent_pixels_of_a_png_are_black() -> None:
    """The network does not see pixels that no viewer shows."""
    pixels = np.dstack([in_colour(np.full((8, 8), 200, np.uint8)), np.full((8, 8), 255, np.uint8)])
    pixels[:, :4, 3] = 0
    read = read_png(encode_png(pixels), MAX_PIXELS)
    assert read[0, 0] == 0
    assert read[0, 7] == 200


@pytest.mark.parametrize("with_transparency", [False, True])
def test_palette_png_is_shown_in_its_colours(with_transparency: bool) -> None:
    """Indices are looked up in the palette."""
    palette = make_png_chunk(b"PLTE", bytes([10, 10, 10, 240, 240, 240]))
    transparency = make_png_chunk(b"tRNS", b"\xff\xff") if with_transparency else b""
    lines = b"".join(b"\0" + bytes([0, 1, 0, 1]) for _ in range(4))
    read = read_png(make_png(4, 4, lines, colour=3, extra=palette + transparency), MAX_PIXELS)
    assert read[0].tolist() == [10, 240, 10, 240]


def test_one_bit_png_is_black_and_white() -> None:
    """Depths below 8 bits are stretched to the whole range."""
    read = read_png(make_png(2, 8, b"\0\x0f\0\xf0", depth=1), MAX_PIXELS)
    assert read[0].tolist() == [0] * 4 + [255] * 4


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("size", [60_000, 2**31 - 1])
def test_huge_png_is_refused_by_its_header(size: int, interlaced: bool) -> None:
    """The size in the header is checked before any memory is allocated."""
    with pytest.raises(TooLarge):
        read_png(make_png(size, size, b"\0" * 1000, interlaced=interlaced), MAX_PIXELS)


def test_bombs_in_text_and_profiles_are_never_inflated() -> None:
    """Chunks that do not make the picture do not reach the decoder."""
    bomb = b"x\0\0" + b"\x78\xda" + b"\x00" * 100_000
    extra = make_png_chunk(b"zTXt", bomb) + make_png_chunk(b"iCCP", bomb) + make_png_chunk(b"iTXt", bomb)
    lines = b"".join(b"\0" + bytes([0, 255]) for _ in range(2))
    assert read_png(make_png(2, 2, lines, extra=extra), MAX_PIXELS).tolist() == [[0, 255], [0, 255]]


def test_animated_png_is_refused() -> None:
    """A PNG with several frames is not one radiograph."""
    with pytest.raises(RefusedRadiograph):
        read_png(
            make_png(2, 2, b"\0\0\0" * 2, extra=make_png_chunk(b"acTL", b"\0\0\0\2\0\0\0\0")), MAX_PIXELS
        )


@pytest.mark.parametrize("form", ["png", "jpeg"])
def test_cut_short_anywhere_is_an_error(form: str) -> None:
    """A file that is cut short is never read with grey in place of the rest."""
    file, read = (encode_png(GREY), read_png) if form == "png" else (encode_jpeg(GREY), read_jpeg)
    for end in range(8, len(file) - 2, 7):
        with pytest.raises(PleuraError):
            read(file[:end], MAX_PIXELS)


def test_png_with_too_few_lines_is_an_error() -> None:
    """A whole file with fewer pixels than it announces is damaged."""
    with pytest.raises(UnreadableRadiograph):
        read_png(make_png(100, 4, b"\0" * 5 * 50), MAX_PIXELS)


def test_flipped_bit_in_a_png_is_an_error() -> None:
    """The reader checks the checksums."""
    file = bytearray(encode_png(GREY))
    file[len(file) // 2] ^= 1
    with pytest.raises(UnreadableRadiograph):
        read_png(bytes(file), MAX_PIXELS)


@pytest.mark.parametrize("pixels", [GREY, in_colour(GREY)])
def test_jpeg_keeps_its_greys(pixels: np.ndarray) -> None:
    """Grey and colour, within the loss of the codec."""
    assert np.abs(read_jpeg(encode_jpeg(pixels, 100), MAX_PIXELS).astype(int) - GREY).mean() < 3


@pytest.mark.parametrize("pixels", [GREY, in_colour(GREY)])
def test_jpeg_whose_data_end_early_is_an_error(pixels: np.ndarray) -> None:
    """Even one missing byte before the end marker is an error."""
    file = encode_jpeg(pixels)
    length = len(file) - 2 - read_jpeg_frame(file).scan_offset
    for missing in range(1, length):
        with pytest.raises(UnreadableRadiograph):
            read_jpeg(file[: -2 - missing] + file[-2:], MAX_PIXELS)


def _insert_segment(file: bytes, marker: int, body: bytes) -> bytes:
    """Replace the first segment of a JPEG by a segment of an application."""
    return file[:2] + bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body + file[20:]


def _select_no_coefficients(file: bytes) -> bytes:
    last = file.rindex(b"\xff\xda") + 2 + int.from_bytes(file[file.rindex(b"\xff\xda") + 2 :][:2], "big") - 2
    assert file[last] == 63
    return file[:last] + b"\0" + file[last + 1 :]


def _sample_unusually(file: bytes) -> bytes:
    """Give each colour another sampling."""
    at = file.index(b"\xff\xc0") + 10
    return file[: at + 1] + b"\x22" + file[at + 2 : at + 4] + b"\x22" + file[at + 5 :]


UNUSUAL: Mapping[str, Callable[[bytes], bytes]] = {
    "an invalid profile": lambda file: _insert_segment(file, 0xE2, b"ICC_PROFILE\0\2\1" + bytes(9)),
    "a future version": lambda file: file[:11] + b"\3" + file[12:],
    "colours that Adobe does not define": lambda file: _insert_segment(
        file, 0xEE, b"Adobe\0\x64\0\0\0\0\x03"
    ),
    "no coefficients": _select_no_coefficients,
    "zeros behind its data": lambda file: file[:-2] + bytes(9) + file[-2:],
}


@pytest.mark.parametrize("pixels", [GREY, in_colour(GREY)])
@pytest.mark.parametrize("kind", UNUSUAL)
def test_jpeg_with_a_warning_is_read_unless_it_is_damaged(kind: str, pixels: np.ndarray) -> None:
    """Unusual headers of encoders and cameras are not damage; damaged data behind them are still an error."""
    change, file = UNUSUAL[kind], encode_jpeg(pixels)
    assert change(file) != file
    assert decode_strictly(change(file), read_jpeg_frame(file)) is None
    assert (read_jpeg(change(file), MAX_PIXELS) == read_jpeg(file, MAX_PIXELS)).all()
    for name in DAMAGE.keys() - {"the last byte lost"}:  # a zero can replace that byte
        with pytest.raises(UnreadableRadiograph):
            read_jpeg(change(change_coded_data(file, DAMAGE[name])), MAX_PIXELS)


@pytest.mark.parametrize("stray", [bytes(100), b"\0" * 8 + b"\1", b"\xa5" * 9])
def test_jpeg_with_other_bytes_behind_its_data_is_an_error(stray: bytes) -> None:
    """Only a few zeros are allowed behind the data."""
    file = encode_jpeg(GREY)
    with pytest.raises(UnreadableRadiograph):
        read_jpeg(file[:-2] + stray + file[-2:], MAX_PIXELS)


def test_progressive_jpeg_is_read_only_with_all_its_scans() -> None:
    """Without its last scans a picture is not sharp: that is an error."""
    file = cv2.imencode(".jpg", in_colour(GREY), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert np.abs(read_jpeg(file, MAX_PIXELS).astype(int) - GREY).mean() < 3
    scans = [match.start() for match in re.finditer(b"\xff\xda", file)]
    tables = [match.start() for match in re.finditer(b"\xff\xc4", file)]
    assert len(scans) > 3
    for scan in scans[1:]:
        end = max([at for at in tables if at < scan and at > scans[scans.index(scan) - 1]], default=scan)
        for behind in (b"", encode_jpeg(GREY)):  # a small JPEG may follow a large one
            with pytest.raises(UnreadableRadiograph, match="missing"):
                read_jpeg(file[:end] + b"\xff\xd9" + behind, MAX_PIXELS)


def test_progressive_jpeg_may_lack_scans_of_its_colours() -> None:
    """The first component is the grey; missing scans of the other components change nothing."""
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


def test_jpeg_whose_frame_describes_no_component_is_an_error() -> None:
    """The frame header announces a component, but does not describe it."""
    file = encode_jpeg(GREY)
    at = file.index(b"\xff\xc0")
    with pytest.raises(UnreadableRadiograph):
        read_jpeg(file[: at + 2] + b"\0\x08" + file[at + 4 : at + 10] + file[at + 13 :], MAX_PIXELS)


@pytest.mark.parametrize("scan", [b"\xff\xda\xff\xff", b"\xff\xda\0\x08", b"\xff\xda"])
def test_invalid_scans_cost_little_time(scan: bytes) -> None:
    """Fifty invalid scans before or behind the end of the image take less than 0.5 s."""
    file, began_s = encode_jpeg(GREY), time.process_time()
    many = scan * 50 + bytes([1]) * 1_000_000
    assert (read_jpeg(file + many, MAX_PIXELS) == read_jpeg(file, MAX_PIXELS)).all()
    with pytest.raises(UnreadableRadiograph):
        read_jpeg(file[:-2] + many + file[-2:], MAX_PIXELS)
    assert time.process_time() - began_s < 0.5


def test_jpeg_with_unusual_sampling_is_read() -> None:
    """TurboJPEG does not know the sampling; OpenCV reads the file."""
    unusual = _sample_unusually(encode_jpeg(in_colour(np.zeros_like(GREY))))
    assert decode_strictly(unusual, read_jpeg_frame(unusual)) is None
    assert read_jpeg(unusual, MAX_PIXELS).shape == GREY.shape


@pytest.mark.parametrize(("orientation", "turned"), TURNED)
def test_exif_orientation_is_applied(orientation: int, turned: np.ndarray) -> None:
    """A radiograph that was photographed sideways stands upright."""
    read = read_jpeg(add_exif_orientation(encode_jpeg(GREY), orientation), MAX_PIXELS)
    assert read.shape == turned.shape
    assert np.abs(read.astype(int) - turned).mean() < 5


def announce_size(rows: int, columns: int) -> bytes:
    """Make a JPEG whose frame header announces another size."""
    file = bytearray(encode_jpeg(GREY))
    at = file.index(b"\xff\xc0")
    file[at + 5 : at + 9] = rows.to_bytes(2, "big") + columns.to_bytes(2, "big")
    return bytes(file)


def test_huge_jpeg_is_refused_by_its_header() -> None:
    """No memory is allocated for 65,500 x 65,500 pixels."""
    with pytest.raises(TooLarge):
        read_jpeg(announce_size(65_500, 65_500), MAX_PIXELS)


def test_jpeg_without_rows_is_an_error() -> None:
    """A height that comes later in the stream is not supported."""
    with pytest.raises(UnreadableRadiograph):
        read_jpeg(announce_size(0, 60), MAX_PIXELS)


def test_jpeg_of_a_thousand_scans_is_an_error() -> None:
    """A progressive JPEG that needs very many passes is refused."""
    file = encode_jpeg(GREY)
    scan = file.index(b"\xff\xda")
    with pytest.raises(UnreadableRadiograph, match="passes"):
        read_jpeg(file[:scan] + file[scan:-2] * 1000 + file[-2:], MAX_PIXELS)


def test_jpeg_of_four_colours_is_an_error() -> None:
    """It is not known whether CMYK is stored inverted, so that Pleura does not guess."""
    file = bytearray(encode_jpeg(in_colour(GREY)))
    at = file.index(b"\xff\xc0")
    file[at + 9] = 4
    with pytest.raises(UnreadableRadiograph, match="4 colour"):
        read_jpeg(bytes(file), MAX_PIXELS)


@given(
    arrays(st.sampled_from([np.uint8, np.uint16]), st.tuples(st.integers(1, 40), st.integers(1, 40))),
    st.integers(0, 9),
)
def test_plain_grey_png_is_decoded_exactly(pixels: np.ndarray, compression: int) -> None:
    """The decoder of plain grey PNGs is exact at any depth, shape and compression."""
    file = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, compression])[1].tobytes()
    read = read_png(file, 10_000)
    assert read.dtype == pixels.dtype
    assert np.array_equal(read, pixels)


@pytest.mark.parametrize("orientation", [0, 3])
def test_a_motion_photo_is_read_as_its_picture(orientation: int) -> None:
    """A telephone writes a film behind the end of the JPEG; its bytes look like scans and ends."""
    pixels = make_gradient(dtype="u1", top=255)
    jpeg = encode_jpeg(pixels)
    file = add_exif_orientation(jpeg, orientation) if orientation else jpeg
    film = (b"\0\0\0\x18ftypmp42" + b"\xff\xda\0\x08\xff\xd9\xff\xd8" * 5 + b"\xff") * 99
    np.testing.assert_array_equal(read_jpeg(file + film, MAX_PIXELS), read_jpeg(file, MAX_PIXELS))
