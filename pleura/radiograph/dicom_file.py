"""Parse a DICOM file: only the attributes listed here are read. Add a header attribute here."""

import io
import zlib
from typing import Final

from pydicom import uid
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset, read_partial
from pydicom.tag import BaseTag

from pleura.errors import TooLarge, UnreadableRadiograph
from pleura.radiograph.header_identifiers import IDENTIFIER_KEYWORDS
from pleura.radiograph.header_observations import OVERLAY_TAGS
from pleura.radiograph.transfer_syntaxes import require_supported

# Pleura reads these attributes, the identifiers of the study and no others, so that it never holds the name
# or the number of a patient.
_ATTRIBUTES: Final = """
    SOPClassUID PresentationIntentType PixelPresentation ViewPosition PatientOrientation ImagerPixelSpacing
    PixelSpacing PixelAspectRatio SamplesPerPixel PhotometricInterpretation PlanarConfiguration NumberOfFrames
    Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation PixelPaddingValue PixelPaddingRangeLimit
    WindowCenter WindowWidth RescaleIntercept RescaleSlope VOILUTFunction ModalityLUTSequence VOILUTSequence
    PresentationLUTShape PresentationLUTSequence RecommendedViewingMode MaskSubtractionSequence ShutterShape
    ShutterLeftVerticalEdge ShutterRightVerticalEdge ShutterUpperHorizontalEdge ShutterLowerHorizontalEdge
    CenterOfCircularShutter RadiusOfCircularShutter VerticesOfThePolygonalShutter ShutterPresentationValue
    ShutterOverlayGroup SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence PixelData
"""
READ_ATTRIBUTES: Final = tuple(_ATTRIBUTES.split())
"""The attributes that may change what is displayed; ``docs/reference/dicom.md`` explains each."""
NOTICED_ATTRIBUTES: Final = (
    *("Modality", "BodyPartExamined", "AnatomicRegionSequence", "ViewCodeSequence", "StudyDate"),
    *("PatientPosition", "PatientOrientationCodeSequence"),
    *("PatientAge", "PatientBirthDate", "PatientSpeciesDescription", "PatientSpeciesCodeSequence"),
    *("PatientBreedDescription", "PatientSexNeutered"),
    *("BurnedInAnnotation", "LossyImageCompression", "LossyImageCompressionRatio"),
)
"""The attributes that do not change what is displayed; ``header_observations`` looks at them."""
_IDENTIFYING: Final = (*IDENTIFIER_KEYWORDS.values(), "SpecificCharacterSet")
_TAGS: Final[list[BaseTag | int]] = [
    *(tag_for_keyword(keyword) or 0 for keyword in READ_ATTRIBUTES + NOTICED_ATTRIBUTES + _IDENTIFYING),
    *OVERLAY_TAGS,
]
_PIXEL_DATA: Final = 0x7FE00010
_META_GROUP: Final = 0x0002
_MAX_ELEMENTS: Final = 20_000
_MAX_INFLATED_BYTES: Final = 128 * 2**20
_PREAMBLE_BYTES: Final = 128
_PREFIX: Final = b"DICM"


def has_dicom_prefix(file: bytes) -> bool:
    """Say whether a file has the prefix of the DICOM file format.

    Source:
        DICOM PS3.10 section 7.1.
    """
    return file[_PREAMBLE_BYTES : _PREAMBLE_BYTES + len(_PREFIX)] == _PREFIX


def parse_dicom_file(file: bytes) -> Dataset:
    """Parse the attributes that Pleura reads, up to and including the pixel data.

    Raises:
        UnreadableRadiograph: The transfer syntax is not supported, an attribute occurs twice, there are too
            many elements, or inflating fails.
        TooLarge: The deflated data set is larger than 128 MiB.
        Exception: pydicom cannot parse the file; it raises exceptions of many classes.
    """
    meta, start = _parse_file_meta(file)
    if meta.get("TransferSyntaxUID") == uid.DeflatedExplicitVRLittleEndian:
        return _parse_deflated(file[start:])
    if meta.get("TransferSyntaxUID"):
        require_supported(uid.UID(meta.TransferSyntaxUID))
    return read_partial(io.BytesIO(file), stop_when=_ElementLimit(), force=True, specific_tags=_TAGS)


class _ElementLimit:
    """Tells pydicom to stop after the pixel data, and refuses files with odd elements on the way."""

    def __init__(self) -> None:
        self._count = 0
        self._tags = set[int]()

    def __call__(self, tag: BaseTag, _vr: str | None, _length: int) -> bool:
        self._count += 1
        if self._count > _MAX_ELEMENTS:
            raise UnreadableRadiograph(f"the DICOM file has more than {_MAX_ELEMENTS} elements")
        if tag in self._tags:
            raise UnreadableRadiograph("an element of the DICOM file occurs twice")
        if tag in _TAGS:
            self._tags.add(tag)
        return int(tag) > _PIXEL_DATA


def _parse_file_meta(file: bytes) -> tuple[Dataset, int]:
    """Parse the file meta information, and give the offset of the data set behind it.

    Source:
        DICOM PS3.10 section 7.1 (always explicit VR little endian).
    """
    if not has_dicom_prefix(file):
        return Dataset(), 0
    stream = io.BytesIO(file)
    stream.seek(_PREAMBLE_BYTES + len(_PREFIX))
    meta = read_dataset(stream, False, True, stop_when=lambda tag, *_: bool(tag.group != _META_GROUP))
    return meta, stream.tell()


def _parse_deflated(deflated: bytes) -> Dataset:
    inflated = io.BytesIO(_inflate(deflated))
    dataset = read_dataset(inflated, False, True, stop_when=_ElementLimit(), specific_tags=_TAGS)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    return dataset


def _inflate(deflated: bytes) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    # A small file can inflate to terabytes.
    inflated = inflater.decompress(deflated, _MAX_INFLATED_BYTES)
    if inflater.unconsumed_tail:
        raise TooLarge("the deflated DICOM file is larger than can be accepted")
    if not inflater.eof:
        raise UnreadableRadiograph("the deflated DICOM file is cut short")
    return inflated
