"""Refuse a DICOM file whose header asks for a display that Pleura does not apply."""

from typing import Final

from pydicom import uid
from pydicom.dataset import Dataset

from pleura.errors import RefusedRadiograph
from pleura.radiograph.decimal_strings import read_word

_FOR_PRESENTATION: Final = "FOR PRESENTATION"
_FOR_PROCESSING_CLASSES: Final = (
    uid.DigitalXRayImageStorageForProcessing,
    uid.DigitalMammographyXRayImageStorageForProcessing,
    uid.DigitalIntraOralXRayImageStorageForProcessing,
)
_NOT_APPLIED: Final = ("PresentationLUTSequence", "MaskSubtractionSequence")
"""Sequences that change the whole picture."""


def require_displayable(dataset: Dataset) -> None:
    """Require that the file is meant to be displayed, and in a way that Pleura applies.

    Raises:
        RefusedRadiograph: The pixels are raw detector values, or are displayed in a way that is not applied.

    Source:
        DICOM PS3.3 C.8.11.1.1.1 (presentation intent), C.11.6 (presentation LUT), C.7.6.10 (mask),
        C.8.16.2.1.2 (pixel presentation).
    """
    intent = read_word(dataset, "PresentationIntentType")
    meta = getattr(dataset, "file_meta", Dataset())
    classes = (dataset.get("SOPClassUID"), meta.get("MediaStorageSOPClassUID"))
    if intent not in ("", _FOR_PRESENTATION) or any(name in _FOR_PROCESSING_CLASSES for name in classes):
        raise RefusedRadiograph(
            "the DICOM file is FOR PROCESSING: it holds raw values; send the image FOR PRESENTATION",
            reason="for_processing",
        )
    if any(dataset.get(keyword) for keyword in _NOT_APPLIED):
        raise RefusedRadiograph(
            "the DICOM file is displayed through a table or a mask that Pleura does not apply",
            reason="display_not_supported",
        )
    is_coloured = read_word(dataset, "PixelPresentation") not in ("", "MONOCHROME", "TRUE_COLOR")
    if is_coloured or read_word(dataset, "RecommendedViewingMode") == "SUB":
        raise RefusedRadiograph(
            "the DICOM file is displayed in colours, or as a subtraction, which Pleura does not apply",
            reason="display_not_supported",
        )
