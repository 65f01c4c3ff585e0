"""Pixel data that is damaged, cut short, or not what the header announces, is an error."""

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate, generate_frames

from pleura.errors import UnreadableRadiograph
from pleura.radiograph.dicom import read_dicom
from pleura.radiograph.jpeg_codestream import read_jpeg_frame
from pleura.radiograph.jpeg_damage import require_undamaged
from proof.lab.files import (
    DAMAGE,
    MAX_PIXELS,
    change_coded_data,
    encode_jpeg_lossless,
    make_dicom,
    make_gradient,
    make_lossless_colour_jpeg,
)
from proof.lab.pictures import encapsulate_stream


def test_native_pixels_under_a_compressed_syntax_are_an_error() -> None:
    """A file in another transfer syntax than it names is not read as noise."""
    native = make_dicom()
    name, other = uid.ExplicitVRLittleEndian.encode(), uid.JPEG2000.encode()
    start = native.index(b"\x02\x00\x10\x00UI")
    length = struct.unpack_from("<H", native, start + 6)[0]
    assert native[start + 8 :].startswith(name)
    value = other + b"\0" * (len(other) % 2)
    wrong = bytearray(
        native[: start + 6] + struct.pack("<H", len(value)) + value + native[start + 8 + length :]
    )
    struct.pack_into("<I", wrong, 140, struct.unpack_from("<I", native, 140)[0] + len(value) - length)
    with pytest.raises(UnreadableRadiograph, match="transfer syntax"):
        read_dicom(bytes(wrong), MAX_PIXELS)


@pytest.mark.parametrize("form", ["native", "j2k_lossy", "rle"])
def test_cut_short_anywhere_is_an_error(form: str, test_data: Path) -> None:
    """A DICOM file that is cut short is never read."""
    file = (test_data / "dicom" / f"nih_10bit_{form}.dcm").read_bytes()
    for end in [*range(130, 2000, 97), *range(2000, len(file) - 20, len(file) // 25)]:
        with pytest.raises(UnreadableRadiograph):
            read_dicom(file[:end], MAX_PIXELS)


def _with_changed_data(file: bytes, change: Callable[[bytes], bytes]) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(file))
    stream = next(generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([change_coded_data(stream, change)])
    damaged = io.BytesIO()
    dataset.save_as(damaged)
    return damaged.getvalue()


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("form", ["jpegls_lossless", "jpeg_lossless", "jpeg_extended12"])
def test_damaged_data_of_a_whole_file_are_an_error(form: str, damage: str, test_data: Path) -> None:
    """Whole fragments and headers do not hide that the coded data are damaged."""
    file = (test_data / "dicom" / f"nih_10bit_{form}.dcm").read_bytes()
    assert read_dicom(_with_changed_data(file, bytes), MAX_PIXELS).pixels.any()
    with pytest.raises(UnreadableRadiograph):
        read_dicom(_with_changed_data(file, DAMAGE[damage]), MAX_PIXELS)


def test_damage_of_a_lossless_colour_jpeg_is_an_error() -> None:
    """libjpeg cannot decode such a JPEG to grey, but its data are checked."""
    colours = np.zeros((40, 60, 3), np.uint8)
    stream = make_lossless_colour_jpeg(40, 60)
    assert read_dicom(encapsulate_stream(stream, uid.JPEGLosslessSV1, colours), MAX_PIXELS).pixels.shape == (
        40,
        60,
    )
    for change in DAMAGE.values():
        damaged = encapsulate_stream(change_coded_data(stream, change), uid.JPEGLosslessSV1, colours)
        if len(damaged) < len(encapsulate_stream(stream, uid.JPEGLosslessSV1, colours)):
            with pytest.raises(UnreadableRadiograph):
                read_dicom(damaged, MAX_PIXELS)


def test_a_point_transform_is_not_damage() -> None:
    """A point transform may drop nine of 12 bits, although the check reads the data as 8 bits."""
    stream = encode_jpeg_lossless(make_gradient(), 12)
    scan = stream.index(b"\xff\xda")
    require_undamaged(stream[: scan + 9] + b"\x09" + stream[scan + 10 :], read_jpeg_frame(stream))
