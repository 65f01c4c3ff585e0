"""DICOM files whose grey scale is odd or broken, and what must come of each."""

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
    fails,
    shows,
    shows_or_fails,
)
from proof.attacks.files.dicom_parts import DEEP, TWELVE, element, with_pixels
from proof.lab.files import make_dicom
from proof.lab.pictures import (
    make_lut,
    make_picture,
)

_PICTURE: Final = make_picture()
_NEGATIVE: Final[dict[str, Any]] = {"PhotometricInterpretation": "MONOCHROME1"}


def grey_cases() -> Iterator[tuple[str, HostileFile]]:
    """The grey scale."""
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
                    lambda k=keyword, v=value, e=elements: _raw_number(k, v, e), ANY_ERROR, DEEP, -0.4
                ),
            )
    for slope in ("0", "-1"):
        errors = DAMAGED if slope == "0" else REFUSED
        yield f"a lone slope of {slope}", fails(lambda s=slope: with_pixels(RescaleSlope=s), *errors)
    yield (
        "a negative slope",
        shows(lambda: make_dicom(4095 - DEEP, RescaleSlope="-1", RescaleIntercept="4095", **TWELVE), DEEP),
    )
    for width in (0, -1, -4096):
        yield (
            f"a window {width} wide",
            shows(lambda w=width: with_pixels(WindowCenter=2048, WindowWidth=w), DEEP),
        )
    yield "a window of 1", shows(lambda: with_pixels(WindowCenter=2048, WindowWidth=1), DEEP, 0.6)
    for shape, errors in {"INVERSE": REFUSED, "NONSENSE": REFUSED}.items():
        yield f"MONOCHROME2, {shape}", fails(lambda s=shape: with_pixels(PresentationLUTShape=s), *errors)
    yield (
        "MONOCHROME1, INVERSE",
        shows(lambda: make_dicom(4095 - DEEP, PresentationLUTShape="INVERSE", **TWELVE, **_NEGATIVE), DEEP),
    )
    yield (
        "MONOCHROME1, IDENTITY",
        fails(
            lambda: make_dicom(4095 - DEEP, PresentationLUTShape="IDENTITY", **TWELVE, **_NEGATIVE), *REFUSED
        ),
    )
    yield (
        "a VOI LUT that rises",
        shows(lambda: with_pixels(VOILUTSequence=make_lut(range(0, 65_536, 16), 0)), DEEP),
    )
    yield (
        "a modality LUT that falls",
        shows(
            lambda: make_dicom(4095 - DEEP, ModalityLUTSequence=make_lut(range(4095, -1, -1), 0), **TWELVE),
            DEEP,
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
        yield f"a VOI LUT {name}", fails(lambda c=change: with_pixels(VOILUTSequence=_lut(c)), *DAMAGED)
    yield (
        "padding of the brightest",
        HostileFile(lambda: with_pixels(PixelPaddingValue=int(DEEP.max())), ANY_ERROR, DEEP, 0.5),
    )
    yield (
        "padding of everything",
        fails(lambda: with_pixels(PixelPaddingValue=0, PixelPaddingRangeLimit=65_535), *REFUSED),
    )
    yield "palette", fails(lambda: with_pixels(PhotometricInterpretation="PALETTE COLOR"), *ANY_ERROR)
    yield "an overlay in the unused bits", shows(lambda: make_dicom(DEEP | np.uint16(0xA000), **TWELVE), DEEP)
    yield "12 bits that use 16", shows(lambda: make_dicom(DEEP * 16, **TWELVE), DEEP * 16 & 0xFFF)
    yield "blank", fails(lambda: with_pixels(PixelData=b"\0" * DEEP.nbytes), *REFUSED)
    yield from _colour_cases()


def _colour_cases() -> Iterator[tuple[str, HostileFile]]:
    colour = cv2.cvtColor(_PICTURE, cv2.COLOR_GRAY2RGB)
    planes = np.ascontiguousarray(colour.transpose(2, 0, 1)).tobytes()
    yield "RGB", shows(lambda: make_dicom(colour), _PICTURE)
    yield (
        "RGB in planes",
        shows(lambda: make_dicom(colour, PlanarConfiguration=1, PixelData=planes), _PICTURE),
    )
    for value in (None, 2, 65_535):
        yield (
            f"planar configuration of {value}",
            shows_or_fails(lambda v=value: make_dicom(colour, PlanarConfiguration=v), _PICTURE),
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


def _raw_number(keyword: str, value: str, elements: dict[str, Any]) -> bytes:
    """A decimal string that pydicom would not write."""
    file = with_pixels(**(elements | {keyword: "7"}))
    tag = pydicom.datadict.tag_for_keyword(keyword) or 0
    written = element(tag, b"DS", b"7 ")
    assert file.count(written) == 1
    return file.replace(written, element(tag, b"DS", _even_text(value)))


def _even_text(value: str) -> bytes:
    return value.encode() + b" " * (len(value) % 2)


def _lut(change: dict[str, Any]) -> list[Dataset]:
    sequence = make_lut(range(4096), 0)
    for keyword, value in change.items():
        if value is None:
            delattr(sequence[0], keyword)
        else:
            setattr(sequence[0], keyword, value)
            sequence[0][keyword].VR = "US"
    return sequence
