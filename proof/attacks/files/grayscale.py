"""DICOM files with an unusual or broken grey scale, each with its allowed outcomes."""

from collections.abc import Iterator
from typing import Any, Final

import cv2
import numpy as np
import pydicom
from pydicom.dataset import Dataset

from proof.attacks.files.case import (
    ANY_ERROR,
    DAMAGED,
    REFUSED,
    HostileFile,
    expect_either,
    expect_errors,
    expect_picture,
)
from proof.attacks.files.dicom_parts import DEEP_PICTURE, TWELVE_BITS, encode_element, make_deep_dicom
from proof.lab.files import make_dicom
from proof.lab.pictures import make_lut, make_picture

_PICTURE: Final = make_picture()
_NEGATIVE: Final[dict[str, Any]] = {"PhotometricInterpretation": "MONOCHROME1"}


def list_grayscale_cases() -> Iterator[tuple[str, HostileFile]]:
    """List files with unusual or broken rescaling, windows, lookup tables, padding and colours."""
    # Any picture is allowed but the negative, hence a likeness of -0.4.
    for keyword in ("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth"):
        for value in ("NaN", "inf", "-inf", "1e308", "-1e308", "abc", "1\\2\\3", "1e-308", ""):
            elements = {
                "RescaleSlope": "1",
                "RescaleIntercept": "0",
                "WindowCenter": 2048,
                "WindowWidth": 4096,
            }
            yield (
                f"{keyword} of {value!r}",
                HostileFile(
                    lambda k=keyword, v=value, e=elements: _write_raw_number(k, v, e),
                    ANY_ERROR,
                    DEEP_PICTURE,
                    -0.4,
                ),
            )
    # docs/decisions/0037: a slope of -1 alone once gave the negative.
    for slope in ("0", "-1"):
        errors = DAMAGED if slope == "0" else REFUSED
        yield (
            f"a lone slope of {slope}",
            expect_errors(lambda s=slope: make_deep_dicom(RescaleSlope=s), *errors),
        )
    yield (
        "a negative slope",
        expect_picture(
            lambda: make_dicom(
                4095 - DEEP_PICTURE, RescaleSlope="-1", RescaleIntercept="4095", **TWELVE_BITS
            ),
            DEEP_PICTURE,
        ),
    )
    for width in (0, -1, -4096):
        yield (
            f"a window {width} wide",
            expect_picture(lambda w=width: make_deep_dicom(WindowCenter=2048, WindowWidth=w), DEEP_PICTURE),
        )
    yield (
        "a window of 1",
        expect_picture(lambda: make_deep_dicom(WindowCenter=2048, WindowWidth=1), DEEP_PICTURE, 0.6),
    )
    for shape, errors in {"INVERSE": REFUSED, "NONSENSE": REFUSED}.items():
        yield (
            f"MONOCHROME2, {shape}",
            expect_errors(lambda s=shape: make_deep_dicom(PresentationLUTShape=s), *errors),
        )
    yield (
        "MONOCHROME1, INVERSE",
        expect_picture(
            lambda: make_dicom(
                4095 - DEEP_PICTURE, PresentationLUTShape="INVERSE", **TWELVE_BITS, **_NEGATIVE
            ),
            DEEP_PICTURE,
        ),
    )
    yield (
        # The two elements contradict each other: the picture may be a negative.
        "MONOCHROME1, IDENTITY",
        expect_errors(
            lambda: make_dicom(
                4095 - DEEP_PICTURE, PresentationLUTShape="IDENTITY", **TWELVE_BITS, **_NEGATIVE
            ),
            *REFUSED,
        ),
    )
    yield (
        "a VOI LUT that rises",
        expect_picture(
            lambda: make_deep_dicom(VOILUTSequence=make_lut(range(0, 65_536, 16), 0)), DEEP_PICTURE
        ),
    )
    yield (
        "a modality LUT that falls",
        expect_picture(
            lambda: make_dicom(
                4095 - DEEP_PICTURE, ModalityLUTSequence=make_lut(range(4095, -1, -1), 0), **TWELVE_BITS
            ),
            DEEP_PICTURE,
        ),
    )
    for name, change in {
        "shorter than it says": {"LUTData": [1, 2, 3]},
        "of 0 bits": {"LUTDescriptor": [4096, 0, 0]},
        "of 17 bits": {"LUTDescriptor": [4096, 0, 17]},
        "of two numbers": {"LUTDescriptor": [4096, 0]},
        "without data": {"LUTData": None},
        "without descriptor": {"LUTDescriptor": None},
    }.items():
        yield (
            f"a VOI LUT {name}",
            expect_errors(lambda c=change: make_deep_dicom(VOILUTSequence=_make_changed_lut(c)), *DAMAGED),
        )
    yield (
        "padding of the brightest",
        HostileFile(
            lambda: make_deep_dicom(PixelPaddingValue=int(DEEP_PICTURE.max())), ANY_ERROR, DEEP_PICTURE, 0.5
        ),
    )
    yield (
        "padding of everything",
        expect_errors(lambda: make_deep_dicom(PixelPaddingValue=0, PixelPaddingRangeLimit=65_535), *REFUSED),
    )
    yield (
        "palette",
        expect_errors(lambda: make_deep_dicom(PhotometricInterpretation="PALETTE COLOR"), *ANY_ERROR),
    )
    yield (
        # Retired overlays lie in bits above BitsStored, which are no part of the picture.
        "an overlay in the unused bits",
        expect_picture(lambda: make_dicom(DEEP_PICTURE | np.uint16(0xA000), **TWELVE_BITS), DEEP_PICTURE),
    )
    yield (
        "12 bits that use 16",
        expect_picture(lambda: make_dicom(DEEP_PICTURE * 16, **TWELVE_BITS), DEEP_PICTURE * 16 & 0xFFF),
    )
    yield "blank", expect_errors(lambda: make_deep_dicom(PixelData=b"\0" * DEEP_PICTURE.nbytes), *REFUSED)
    yield from _list_colour_cases()


def _list_colour_cases() -> Iterator[tuple[str, HostileFile]]:
    colour = cv2.cvtColor(_PICTURE, cv2.COLOR_GRAY2RGB)
    planes = np.ascontiguousarray(colour.transpose(2, 0, 1)).tobytes()
    yield "RGB", expect_picture(lambda: make_dicom(colour), _PICTURE)
    yield (
        "RGB in planes",
        expect_picture(lambda: make_dicom(colour, PlanarConfiguration=1, PixelData=planes), _PICTURE),
    )
    for value in (None, 2, 65_535):
        yield (
            f"planar configuration of {value}",
            expect_either(lambda v=value: make_dicom(colour, PlanarConfiguration=v), _PICTURE),
        )
    for photometric in ("YBR_FULL_422", "YBR_ICT", "YBR_PARTIAL_420", "CMYK", "ARGB", "MONOCHROME1"):
        yield (
            f"RGB named {photometric}",
            HostileFile(
                lambda p=photometric: make_dicom(colour, PhotometricInterpretation=p),
                ANY_ERROR,
                _PICTURE,
                -0.4,
            ),
        )


def _write_raw_number(keyword: str, value: str, elements: dict[str, Any]) -> bytes:
    """Write a decimal string that pydicom would refuse to write."""
    file = make_deep_dicom(**(elements | {keyword: "7"}))
    tag = pydicom.datadict.tag_for_keyword(keyword) or 0
    written = encode_element(tag, b"DS", b"7 ")
    assert file.count(written) == 1
    return file.replace(written, encode_element(tag, b"DS", _pad_text(value)))


def _pad_text(value: str) -> bytes:
    return value.encode() + b" " * (len(value) % 2)


def _make_changed_lut(change: dict[str, Any]) -> list[Dataset]:
    sequence = make_lut(range(4096), 0)
    for keyword, value in change.items():
        if value is None:
            delattr(sequence[0], keyword)
        else:
            setattr(sequence[0], keyword, value)
            sequence[0][keyword].VR = "US"
    return sequence
