"""Names, numbers, dates and tokens of patients who do not exist, planted to be looked for afterwards."""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote

from pydicom.datadict import DicomDictionary
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

    def name(self, place: str) -> str:
        """A name that stands nowhere else."""
        return self._planted(f"Zqv{len(self.places):03d}Xandrova", place)

    def number(self, place: str) -> str:
        """A number of 13 digits."""
        return self._planted(f"8642{len(self.places):04d}97531", place)

    def date(self, place: str) -> str:
        """A day of the year 1799 or later."""
        month, day = divmod(len(self.places), 28)
        return self._planted(f"{1799 + month // 12}{1 + month % 12:02d}{1 + day:02d}", place)

    def of_vr(self, vr: str, place: str) -> str:
        """A value that the value representation allows."""
        if vr == "DA":
            return self.date(place)
        if vr == "DT":
            return self.date(place) + "121314"
        if vr == "UI":
            return f"1.2.826.{self.number(place)}"
        return self.name(place)[:16] if vr in _TEXTS else self.number(place)[:12]

    def found_in(self, text: bytes) -> list[str]:
        """Where those were planted that stand in a text, in any spelling."""
        lower = text.lower()
        return [place for planted, place in self.places.items() if any(_stands(planted, lower))]

    def _planted(self, planted: str, place: str) -> str:
        self.places[planted] = place
        return planted


def _stands(planted: str, text: bytes) -> Iterator[bool]:
    """Whether a value stands in a text in lower case: plain, quoted, in hex or in base64."""
    plain = planted.lower().encode()
    # what is cut to fit a field is still found by its start
    core = re.escape(plain[:12])
    yield re.search(rb"(?<!\d)" + core + (rb"(?!\d)" if len(plain) <= 8 else b""), text) is not None
    yield core[:10].hex().encode() in text
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + planted[:12].encode())
        yield coded[4:-4].lower() in text
    yield quote(planted, safe="").lower().encode() in text


def dicom_elements(plants: Plants) -> Mapping[str, str]:
    """A value for each element of group 0010 that takes text or a date, and for others that identify."""
    keywords = [
        keyword
        for tag, (vr, _, _, _, keyword) in DicomDictionary.items()
        if Tag(tag).group == 0x0010 and vr in _TEXTS | {"DA", "DT", "UI"} and keyword
    ]
    return {keyword: plants.of_vr(_vr(keyword), f"DICOM {keyword}") for keyword in [*keywords, *_MORE]}


def _vr(keyword: str) -> str:
    return next(vr for vr, _, _, _, known in DicomDictionary.values() if known == keyword)


def all_found(plants: Plants, texts: Iterable[tuple[str, bytes]]) -> list[str]:
    """One line for each planted value that was found."""
    return sorted(f"{place} in {where}" for where, text in texts for place in plants.found_in(text))
