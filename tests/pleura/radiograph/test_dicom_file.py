"""Parsing: files without preamble, deflated files, and files that would exhaust the parser."""

import io
import struct
import zlib

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import Dataset

from pleura.errors import TooLarge, UnreadableRadiograph
from pleura.radiograph.dicom import read_dicom
from proof.lab.files import MAX_PIXELS, make_dicom
from tests.support.dicom_display import display_dicom

DEFLATED = uid.DeflatedExplicitVRLittleEndian


def test_file_without_preamble_is_read() -> None:
    """A data set without preamble is read if it holds pixels."""
    whole = make_dicom(syntax=uid.ImplicitVRLittleEndian)
    dataset = pydicom.dcmread(io.BytesIO(whole))
    bare = io.BytesIO()
    pydicom.dcmwrite(bare, Dataset(dataset), implicit_vr=True, little_endian=True)
    np.testing.assert_array_equal(display_dicom(bare.getvalue()), display_dicom(whole))


def test_deflated_bomb_is_refused() -> None:
    """Inflating stops at the limit."""
    file = make_dicom(syntax=DEFLATED)
    start = 144 + struct.unpack_from("<I", file, 140)[0]
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = b"".join([*(deflater.compress(b"\0" * 2**24) for _ in range(16)), deflater.flush()])
    with pytest.raises(TooLarge):
        read_dicom(file[:start] + body, MAX_PIXELS)


def test_deep_sequences_are_an_error_or_ignored() -> None:
    """Ten thousand nested sequences are an error, not a crash."""
    nested = b"\x08\x00\x05\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 10_000
    file = make_dicom()
    start = 144 + struct.unpack_from("<I", file, 140)[0]
    with pytest.raises(UnreadableRadiograph):
        read_dicom(file[:start] + nested + file[start:], MAX_PIXELS)


def test_endless_elements_are_an_error() -> None:
    """Reading stops at the limit of elements."""
    file = make_dicom()
    start = 144 + struct.unpack_from("<I", file, 140)[0]
    tiny = b"".join(b"\x09\x00" + struct.pack("<H", i % 65536) + b"SH\0\0" for i in range(30_000))
    with pytest.raises(UnreadableRadiograph, match="elements"):
        read_dicom(file[:start] + tiny + file[start:], MAX_PIXELS)
