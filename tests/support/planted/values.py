"""Names, numbers and dates of invented patients. A test plants them, and later searches for them."""

import base64
import re
from collections.abc import Iterable, Mapping

from pydicom._dicom_dict import DicomDictionary
from pydicom.tag import Tag

_TEXTS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"})
# elements outside of group 0010 that identify a patient, or that are free text
_IDENTIFYING_ELEMENTS = (
    *("AccessionNumber", "InstitutionName", "InstitutionAddress", "ReferringPhysicianName", "StationName"),
    *(
        "SeriesDescription",
        "StudyDescription",
        "PerformingPhysicianName",
        "OperatorsName",
        "PhysiciansOfRecord",
    ),
    *("RequestingPhysician", "ImageComments", "RequestedProcedureDescription", "DerivationDescription"),
    *(
        "DeviceSerialNumber",
        "ProtocolName",
        "WindowCenterWidthExplanation",
        "ViewPosition",
        "BodyPartExamined",
    ),
    *("Modality", "StudyID", "StudyDate", "ContentDate", "AcquisitionDate"),
    *("StudyInstanceUID", "SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"),
)


class Plants:
    """The planted values, and the place of each value."""

    def __init__(self) -> None:
        self.places: dict[str, str] = {}

    def plant_name(self, place: str) -> str:
        """Plant a unique name."""
        return self._record_plant(f"Zqv{len(self.places):03d}Xandrova", place)

    def plant_number(self, place: str) -> str:
        """Plant a number of 13 digits."""
        return self._record_plant(f"8642{len(self.places):04d}97531", place)

    def plant_date(self, place: str) -> str:
        """Plant a date in 1799 or later."""
        month, day = divmod(len(self.places), 28)
        return self._record_plant(f"{1799 + month // 12}{1 + month % 12:02d}{1 + day:02d}", place)

    def plant_value(self, vr: str, place: str) -> str:
        """Plant a value that the value representation allows."""
        if vr == "DA":
            return self.plant_date(place)
        if vr == "DT":
            return self.plant_date(place) + "121314"
        if vr == "UI":
            return f"1.2.826.{self.plant_number(place)}"
        return self.plant_name(place)[:16] if vr in _TEXTS else self.plant_number(place)[:12]

    def find_in(self, text: bytes) -> list[str]:
        """Find the places of the planted values that a text contains, in any spelling."""
        lower = text.lower()
        cores = {match.decode() for pattern in _CORES for match in pattern.findall(lower)}
        places = [place for planted, place in self.places.items() if _take_core(planted) in cores]
        places += [
            place for planted, place in self.places.items() if _is_odd(planted) and planted.encode() in text
        ]
        return places + ["a name in hex or base64"] * any(coded in text for coded in _CODED)

    def _record_plant(self, planted: str, place: str) -> str:
        self.places[planted] = place
        return planted


# A field may cut a value, so its start is enough. Digits within a longer number are not a date.
_CORES = (re.compile(rb"zqv\d+xandr"), re.compile(rb"8642\d{4}9753"), re.compile(rb"(?<!\d)1[78]\d{6}(?!\d)"))
_CODED = frozenset(
    spelling
    for name in (b"Xandrova", b"xandrova", b"XANDROVA")
    for spelling in (
        name.hex().encode(),
        *(base64.b64encode(b"\0" * shift + name)[4:-4] for shift in range(3)),
    )
)


def _take_core(planted: str) -> str:
    """Return the part of a planted value to search for."""
    if planted.startswith("Zqv"):
        return planted.lower().partition("ova")[0]
    return planted[:12] if planted.startswith("8642") else planted


def _is_odd(planted: str) -> bool:
    """Say whether a planted value has another form, so that the search uses the whole value."""
    return not any(pattern.match(planted.lower().encode()) for pattern in _CORES)


def plant_dicom_elements(plants: Plants) -> Mapping[str, str]:
    """Plant a value in each text or date element of group 0010, and in other identifying elements."""
    keywords = [
        keyword
        for tag, (vr, _, _, _, keyword) in DicomDictionary.items()
        if Tag(tag).group == 0x0010 and vr in _TEXTS | {"DA", "DT", "UI"} and keyword
    ]
    return {
        keyword: plants.plant_value(_look_up_vr(keyword), f"DICOM {keyword}")
        for keyword in [*keywords, *_IDENTIFYING_ELEMENTS]
    }


def _look_up_vr(keyword: str) -> str:
    return next(vr for vr, _, _, _, name in DicomDictionary.values() if name == keyword)


def list_leaks(plants: Plants, texts: Iterable[tuple[str, bytes]]) -> list[str]:
    """List the planted values that the texts contain, one line for each."""
    return sorted(f"{place} in {where}" for where, text in texts for place in plants.find_in(text))
