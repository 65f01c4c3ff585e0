"""What a header says that the model was not made for is noticed, and the picture is read all the same."""

import io
from functools import partial
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import uid
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset

from pleura.errors import RefusedRadiograph, UnreadableRadiograph
from pleura.radiograph.observations import MIN_SIDE_PX
from pleura.radiograph.patient import is_child
from pleura.radiograph.reader import read_radiograph
from proof.lab.files import MAX_PIXELS, encode_dicom, encode_jpeg, encode_png, make_dicom, make_gradient

PIXELS = make_gradient(100, 100)


def _observe(**elements: Any) -> list[str]:
    with disable_value_validation():  # devices write what the standard does not allow
        file = make_dicom(PIXELS, **elements)
    radiograph = read_radiograph(file, MAX_PIXELS)
    return [each.code for each in radiograph.observations]


def _codes(*values: str, scheme: str = "SCT") -> list[Dataset]:
    items = []
    for value in values:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, "Planted^Name"
        items.append(item)
    return items


def _modify(keyword: str, modifier: str, code: str, scheme: str = "SCT", of: str = "") -> dict[str, Any]:
    """Make a code sequence of one item, which a code of another sequence modifies."""
    items = _codes(of)
    setattr(items[0], modifier, _codes(code, scheme=scheme))
    return {keyword: items}


_modify_view = partial(_modify, "ViewCodeSequence", "ViewModifierCodeSequence", of="272479007")
_modify_orientation = partial(
    _modify, "PatientOrientationCodeSequence", "PatientOrientationModifierCodeSequence", of="102538003"
)
NOTHING: list[dict[str, Any]] = [
    {},
    *({"Modality": word} for word in ("CR", "DX", "DR", "RG", "RF", "XA", "OT", "", "XRAY", "Planted")),
    *(
        {"SOPClassUID": name}
        for name in (
            uid.ComputedRadiographyImageStorage,
            uid.SecondaryCaptureImageStorage,
            uid.XRayRadiofluoroscopicImageStorage,
            "1.2.826.0.1.3680043.2.1.99",
        )
    ),
    *(
        {"BodyPartExamined": word}
        for word in (
            "CHEST",
            "chest ",
            "THORAX",
            "RIBCAGE",
            "LUNG",
            "HEART",
            "CHEST_ABDOMEN",
            "Torax",
            "",
            "PORT",
        )
    ),
    {"BodyPartExamined": ["CHEST", "ABDOMEN"]},
    {"AnatomicRegionSequence": _codes("816094009")},
    {"AnatomicRegionSequence": _codes("T-D3000", scheme="SRT")},
    {"AnatomicRegionSequence": _codes("51185008", "818981001")},
    {"AnatomicRegionSequence": _codes("4711", scheme="99LOCAL")},
    {"AnatomicRegionSequence": []},
    *({"ViewPosition": word} for word in ("PA", "AP", "", "SITZEND")),
    {"ViewCodeSequence": _codes("272479007")},
    {"ViewCodeSequence": _codes("R-10206", scheme="SRT")},
    *(_modify_view(code) for code in ("286866000", "4711", "")),
    *(_modify_orientation(code) for code in ("40199007", "1240000", "10904000", "33586001", "260450008")),
    _modify_orientation("F-10340", "99SDM"),
    {"PatientOrientationCodeSequence": []},
    {"PatientOrientationCodeSequence": _codes("102538003")},
    *({"PatientPosition": word} for word in ("HFS", "HFP", "FFS", "XX", "", "ERECT")),
    *({"PatientAge": age} for age in ("018Y", "081Y", "216M", "990W", "")),
    {"PatientAge": "040Y", "PatientBirthDate": "20200101", "StudyDate": "20210101"},
    {"PatientBirthDate": "20000229", "StudyDate": "20180301"},
    {"PatientBirthDate": "20200101", "StudyDate": "20100101"},
    {"PatientBirthDate": "20200101"},
    {"PatientSpeciesDescription": "Homo sapiens", "PatientSexNeutered": "UNALTERED"},
    {"PatientSpeciesCodeSequence": _codes("337915000")},
    {"BurnedInAnnotation": "NO"},
    {"LossyImageCompression": "00", "LossyImageCompressionRatio": "10"},
    {"PixelSpacing": [0.143, 0.143]},
    {"PatientOrientation": ["R", "H"]},
]
SOMETHING: list[tuple[str, dict[str, Any]]] = [
    *(
        ("not_a_radiograph", {"Modality": word})
        for word in ("CT", "MR", "US", "MG", "PX", "IO", "SR", "DOC", "ct ")
    ),
    *(
        ("not_a_radiograph", {"SOPClassUID": name})
        for name in (
            uid.CTImageStorage,
            uid.UltrasoundImageStorage,
            uid.DigitalMammographyXRayImageStorageForPresentation,
            uid.DigitalIntraOralXRayImageStorageForPresentation,
            uid.EncapsulatedPDFStorage,
        )
    ),
    ("not_a_radiograph", {"PatientSpeciesDescription": "Canis lupus familiaris"}),
    ("not_a_radiograph", {"PatientSpeciesCodeSequence": _codes("448771007")}),
    ("not_a_radiograph", {"PatientSexNeutered": "ALTERED"}),
    ("not_a_radiograph", {"PatientBreedDescription": "Dachshund"}),
    *(
        ("not_chest", {"BodyPartExamined": word})
        for word in (
            "HAND",
            "ABDOMEN",
            "SKULL",
            "L-SPINE",
            "LEFT KNEE",
            "TSPINE",
            "THORACIC SPINE",
            "WHOLEBODY",
        )
    ),
    ("not_chest", {"AnatomicRegionSequence": _codes("85562004")}),
    ("not_chest", {"AnatomicRegionSequence": _codes("T-D8700", scheme="SRT")}),
    ("not_chest", {"BodyPartExamined": "CHEST", "AnatomicRegionSequence": _codes("89546000")}),
    *(
        ("not_frontal", {"ViewPosition": word})
        for word in ("LL", "RL", "LLD", "RLO", "LATERAL", "ap oblique")
    ),
    ("not_frontal", {"ViewCodeSequence": _codes("399173006")}),
    ("not_frontal", {"ViewCodeSequence": _codes("R-10236", scheme="SRT")}),
    ("not_frontal", {"PatientOrientation": ["P", "F"]}),
    *(("not_frontal", _modify_view(code)) for code in ("272476000", "399162004", "111069", "102536004")),
    ("not_frontal", _modify_view("R-10244", "SRT")),
    *(("not_frontal", _modify_orientation(code)) for code in ("32185000", "102535000", "102536004")),
    *(("not_frontal", _modify_orientation(code, "99SDM")) for code in ("F-10317", "F-10318", "F-10319")),
    *(("not_frontal", {"PatientPosition": word}) for word in ("HFDR", "HFDL", "FFDL", "hfdr ", "PFDR")),
    *(("pediatric", {"PatientAge": age}) for age in ("017Y", "5", "215M", "900W", "010D", "000Y")),
    ("pediatric", {"PatientBirthDate": "20000229", "StudyDate": "20180228"}),
    ("pediatric", {"PatientBirthDate": "20200101", "StudyDate": "20200101", "PatientAge": "old"}),
    ("burned_in_annotation", {"BurnedInAnnotation": "YES"}),
    ("lossy_compression", {"LossyImageCompression": "01"}),
    ("pixels_not_square", {"PixelAspectRatio": [1, 2]}),
    ("pixels_not_square", {"PixelSpacing": [0.2, 0.1]}),
    ("overlay_ignored", {}),
]


@pytest.mark.parametrize("elements", NOTHING, ids=str)
def test_a_header_that_contradicts_nothing_is_passed(elements: dict[str, Any]) -> None:
    """Absent, empty and unknown words say nothing."""
    assert _observe(**elements) == []


@pytest.mark.parametrize(("code", "elements"), SOMETHING[:-1], ids=str)
def test_what_the_header_says_is_noticed(code: str, elements: dict[str, Any]) -> None:
    """The picture is read, and the observation has its code."""
    assert _observe(**elements) == [code]


@pytest.mark.parametrize("group", [0x6000, 0x601E])
def test_an_overlay_is_noticed(group: int) -> None:
    """Every group of overlays counts."""
    dataset = pydicom.dcmread(io.BytesIO(make_dicom(PIXELS)))
    dataset.add_new((group, 0x0010), "US", 100)
    dataset.add_new((group, 0x3000), "OW", bytes(1250))
    file = encode_dicom(dataset, uid.ExplicitVRLittleEndian)
    assert [each.code for each in read_radiograph(file, MAX_PIXELS).observations] == ["overlay_ignored"]


def test_several_things_are_noticed_at_once() -> None:
    """Reasons to refuse come first."""
    observed = _observe(BurnedInAnnotation="YES", PatientAge="003Y", BodyPartExamined="HAND", Modality="CT")
    assert observed == ["not_a_radiograph", "not_chest", "pediatric", "burned_in_annotation"]


def test_nothing_of_the_header_is_repeated() -> None:
    """A header may hold a name anywhere; only words of the standard and numbers are told."""
    elements: dict[str, Any] = {
        "BodyPartExamined": ["HAND", "PLANTED"],
        "ViewPosition": "LATERAL PLANTED",
        "PatientSpeciesDescription": "PLANTED",
        "PatientAge": "009Y",
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": ["5", "12.5"],
    }
    observations = read_radiograph(make_dicom(PIXELS, **elements), MAX_PIXELS).observations
    texts = " ".join(each.text for each in observations)
    assert len(observations) >= 3
    assert "12.5 to 1" in texts
    assert "PLANTED" not in texts.upper()
    assert "009" not in texts


@pytest.mark.parametrize(
    ("elements", "modality"),
    [
        ({"PixelData": None}, "SR"),
        ({"PixelData": None}, "DOC"),
        ({"NumberOfFrames": 3}, "CT"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "US"),
        ({"BitsAllocated": 32}, "RTDOSE"),
    ],
)
def test_what_is_no_radiograph_is_refused_as_such(elements: dict[str, Any], modality: str) -> None:
    """It says more than that there is no picture, or several."""
    with pytest.raises(RefusedRadiograph, match=modality) as refused:
        read_radiograph(make_dicom(PIXELS, Modality=modality, **elements), MAX_PIXELS)
    assert refused.value.reason == "not_a_radiograph"


def test_a_radiograph_without_a_picture_is_unreadable() -> None:
    """Nothing says that it is something else."""
    with pytest.raises(UnreadableRadiograph, match="no pixel data"):
        read_radiograph(make_dicom(PIXELS, PixelData=None, Modality="DX"), MAX_PIXELS)


def test_a_picture_in_colours_is_noticed_and_a_grey_one_is_not() -> None:
    """A grey radiograph may be stored as red, green and blue, with coloured marks."""
    grey = np.repeat(make_gradient(100, 100, "u1", 255)[..., None], 3, axis=-1)
    marked, coloured = grey.copy(), grey.copy()
    marked[:8, :8] = (255, 255, 0)
    coloured[..., 2] = 255 - coloured[..., 2]
    observed = [
        [each.code for each in read_radiograph(make_dicom(pixels), MAX_PIXELS).observations]
        for pixels in (grey, marked, coloured)
    ]
    assert observed == [[], [], ["not_a_radiograph"]]


@pytest.mark.parametrize("encode", [encode_png, encode_jpeg, make_dicom])
def test_a_small_radiograph_is_noticed_in_every_format(encode: Any) -> None:
    """The shorter side counts."""
    for rows, expected in ((MIN_SIDE_PX, []), (MIN_SIDE_PX - 1, ["too_small"])):
        file = encode(make_gradient(rows, 400, "u1", 255))
        assert [each.code for each in read_radiograph(file, MAX_PIXELS).observations] == expected


@given(st.text(max_size=8), st.text("0123456789.- ", max_size=12), st.text("0123456789.- ", max_size=12))
def test_any_age_and_dates_are_read(age: str, born: str, studied: str) -> None:
    """What is no age and no date says nothing, and no text makes the reader fail."""
    dataset = Dataset()
    with disable_value_validation():
        dataset.PatientAge, dataset.PatientBirthDate, dataset.StudyDate = age, born, studied
    assert is_child(dataset) in (True, False)
