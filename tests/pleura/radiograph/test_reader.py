"""The reader gets any file, whole, damaged or of another format."""

import base64
import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pleura.errors import PleuraError, UnreadableRadiograph
from pleura.radiograph.reader import read_radiograph
from pleura.radiograph.tensor import to_tensor
from proof.lab.files import MAX_PIXELS, encode_jpeg, encode_png, make_dicom, make_gradient

GREY = make_gradient(dtype="u1", top=255)
STARTS = [
    b"",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"\x08\0\x05\0",
    b"\0" * 128 + b"DICM\x02\0\0\0UL\x04\0",
]


@given(st.sampled_from(STARTS), st.binary(max_size=400))
def test_any_bytes_give_a_radiograph_or_an_error(start: bytes, rest: bytes) -> None:
    """Any bytes raise only errors of the family PleuraError."""
    with contextlib.suppress(PleuraError):
        assert read_radiograph(start + rest, 1_000_000).pixels.ndim == 2


@given(st.sampled_from([encode_png(GREY), encode_jpeg(GREY), make_dicom(GREY)]), st.data())
def test_damaged_files_give_a_radiograph_or_an_error(file: bytes, data: st.DataObject) -> None:
    """Bytes that are changed, removed or inserted end in a radiograph or a PleuraError."""
    at = data.draw(st.integers(0, len(file)))
    gone = data.draw(st.integers(0, 40))
    damaged = file[:at] + data.draw(st.binary(max_size=40)) + file[at + gone :]
    try:
        pixels = read_radiograph(damaged, 1_000_000).pixels
    except PleuraError:
        return
    assert pixels.ndim == 2
    assert pixels.dtype in (np.uint8, np.uint16)


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"a report, not a radiograph",
        b"%PDF-1.7\n" * 50,
        b"GIF89a" * 30,
        b"RIFF\0\0\0\0WEBPVP8 ",
        b"BM" * 99,
    ],
)
def test_files_of_other_formats_are_unreadable(file: bytes) -> None:
    """A file that is neither DICOM, PNG nor JPEG is refused."""
    with pytest.raises(UnreadableRadiograph):
        read_radiograph(file, MAX_PIXELS)


def test_dicom_whose_preamble_imitates_a_png_is_read_as_dicom() -> None:
    """The DICOM prefix decides, even if the preamble starts like a PNG."""
    polyglot = encode_png(GREY)[:128].ljust(128, b"\0") + make_dicom()[128:]
    np.testing.assert_array_equal(
        read_radiograph(polyglot, MAX_PIXELS).pixels, read_radiograph(make_dicom(), MAX_PIXELS).pixels
    )


def test_executable_preamble_is_ignored() -> None:
    """The first 128 bytes of a DICOM file are not read."""
    file = b"MZ".ljust(128, b"\x90") + make_dicom()[128:]
    assert read_radiograph(file, MAX_PIXELS).pixels.shape == (40, 60)


def test_the_same_radiograph_gives_the_same_tensor_in_every_format() -> None:
    """The format of the file does not change the tensor, except for the loss of JPEG."""
    pixels = make_gradient(400, 300, dtype="u1", top=255)
    tensors = [
        to_tensor(read_radiograph(file, MAX_PIXELS).pixels).astype(int)
        for file in (encode_png(pixels), make_dicom(pixels))
    ]
    assert np.abs(tensors[0] - tensors[1]).max() <= 1
    lossy = to_tensor(read_radiograph(encode_jpeg(pixels), MAX_PIXELS).pixels)
    assert np.abs(lossy - tensors[0]).mean() < 1


def test_samples_are_readable(samples: Path) -> None:
    """The radiographs in the repository can be decoded."""
    files = [path for path in samples.iterdir() if path.suffix in (".png", ".jpg", ".dcm")]
    assert len(files) >= 6
    for path in files:
        assert to_tensor(read_radiograph(path.read_bytes(), MAX_PIXELS).pixels).std() > 20


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes])
@pytest.mark.parametrize(
    "file", [encode_png(GREY), encode_jpeg(GREY), make_dicom(GREY)], ids=["png", "jpeg", "dicom"]
)
def test_base64_is_named(encode: Callable[[bytes], bytes], file: bytes) -> None:
    """A file in base64, also as a data URL, is refused with a text that says what to send."""
    for text in (encode(file), b"data:image/png;base64," + encode(file)):
        with pytest.raises(UnreadableRadiograph, match="base64 text: send its bytes"):
            read_radiograph(text, MAX_PIXELS)
