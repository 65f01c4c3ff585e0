"""Names, numbers, dates and tokens of patients who do not exist, planted to be looked for afterwards."""

import base64
import re
from collections.abc import Iterable, Mapping

from pydicom._dicom_dict import DicomDictionary
from pydicom.tag import Tag

_TEXTS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"})
# what identifies a patient outside of group 0010, or is free text in which somebody may write a name
_MORE = (
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
    *("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"),
)


class Plants:
    """What was planted, and where."""

    def __init__(self) -> None:
        self.places: dict[str, str] = {}

    def plant_name(self, place: str) -> str:
        """A name that stands nowhere else."""
        return self._record_plant(f"Zqv{len(self.places):03d}Xandrova", place)

    def plant_number(self, place: str) -> str:
        """A number of 13 digits."""
        return self._record_plant(f"8642{len(self.places):04d}97531", place)

    def plant_date(self, place: str) -> str:
        """A day of the year 1799 or later."""
        month, day = divmod(len(self.places), 28)
        return self._record_plant(f"{1799 + month // 12}{1 + month % 12:02d}{1 + day:02d}", place)

    def plant_value(self, vr: str, place: str) -> str:
        """A value that the value representation allows."""
        if vr == "DA":
            return self.plant_date(place)
        if vr == "DT":
            return self.plant_date(place) + "121314"
        if vr == "UI":
            return f"1.2.826.{self.plant_number(place)}"
        return self.plant_name(place)[:16] if vr in _TEXTS else self.plant_number(place)[:12]

    def find_in(self, text: bytes) -> list[str]:
        """Where those were planted that stand in a text, in any spelling."""
        lower = text.lower()
        cores = {match.decode() for pattern in _CORES for match in pattern.findall(lower)}
        found = [place for planted, place in self.places.items() if _find_core(planted) in cores]
        found += [
            place for planted, place in self.places.items() if _is_odd(planted) and planted.encode() in text
        ]
        return found + ["a name in hex or base64"] * any(coded in text for coded in _CODED)

    def _record_plant(self, planted: str, place: str) -> str:
        self.places[planted] = place
        return planted


# What is cut to fit a field is still found by its start; a date is none within a longer number.
_CORES = (re.compile(rb"zqv\d+xandr"), re.compile(rb"8642\d{4}9753"), re.compile(rb"(?<!\d)1[78]\d{6}(?!\d)"))
_CODED = frozenset(
    spelling
    for name in (b"Xandrova", b"xandrova", b"XANDROVA")
    for spelling in (
        name.hex().encode(),
        *(base64.b64encode(b"\0" * shift + name)[4:-4] for shift in range(3)),
    )
)


def _find_core(planted: str) -> str:
    """The part by which a planted value is found."""
    if planted.startswith("Zqv"):
        return planted.lower().partition("ova")[0]
    return planted[:12] if planted.startswith("8642") else planted


def _is_odd(planted: str) -> bool:
    """Whether a planted value is of another form, and looked for as it is."""
    return not any(pattern.match(planted.lower().encode()) for pattern in _CORES)


def dicom_elements(plants: Plants) -> Mapping[str, str]:
    """A value for each element of group 0010 that takes text or a date, and for others that identify."""
    keywords = [
        keyword
        for tag, (vr, _, _, _, keyword) in DicomDictionary.items()
        if Tag(tag).group == 0x0010 and vr in _TEXTS | {"DA", "DT", "UI"} and keyword
    ]
    return {
        keyword: plants.plant_value(_look_up_vr(keyword), f"DICOM {keyword}")
        for keyword in [*keywords, *_MORE]
    }


def _look_up_vr(keyword: str) -> str:
    return next(vr for vr, _, _, _, known in DicomDictionary.values() if known == keyword)


def list_leaks(plants: Plants, texts: Iterable[tuple[str, bytes]]) -> list[str]:
    """One line for each planted value that was found."""
    return sorted(f"{place} in {where}" for where, text in texts for place in plants.find_in(text))
