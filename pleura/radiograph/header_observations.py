"""Notice what a DICOM header says that the model was not made for, and what Pleura passes over.

Only what the header says counts: an attribute that is absent, or has an unknown word, contradicts nothing.
"""

from collections.abc import Iterator
from typing import Final

from pydicom import uid
from pydicom.dataset import Dataset

from pleura.errors import UnreadableRadiograph
from pleura.radiograph.anatomy import names_decubitus, names_other_part, names_other_view
from pleura.radiograph.decimal_strings import read_numbers, read_word, read_words
from pleura.radiograph.observations import RadiographObservation
from pleura.radiograph.patient import ADULT_YEARS, is_animal, is_child


def _split(text: str) -> frozenset[str]:
    return frozenset(text.split())


_OTHER_MODALITIES: Final = _split(
    """
    ANN AR AS ASMT AU BDUS BI BMD CD CF CFM CP CS CT CTPROTOCOL DD DF DG DM DMS DOC DS EC ECG EEG EMG
    EOG EPS ES FA FID FS GM HC HD IO IOL IVOCT IVUS KER KO LEN LP LS M3D MA MG MR MS NM OAM OCT OP OPM
    OPR OPT OPTBSV OPTENF OPV OSS PA PLAN POS PR PT PX REG RESP RTDOSE RTIMAGE RTINTENT RTPLAN RTRAD
    RTRECORD RTSEGANN RTSTRUCT RWV SEG SM SMR SR SRF ST STAIN TEXTUREMAP TG US VA VF XAPROTOCOL XC
    """
)
"""Defined terms of Modality that are no projection of X-rays, without OT (DICOM PS3.3 C.7.3.1.1.1)."""
_RADIOGRAPH_CLASSES: Final = frozenset(
    {
        uid.ComputedRadiographyImageStorage,
        uid.DigitalXRayImageStorageForPresentation,
        uid.DigitalXRayImageStorageForProcessing,
        uid.XRayAngiographicImageStorage,
        uid.EnhancedXAImageStorage,
        uid.XRayRadiofluoroscopicImageStorage,
        uid.EnhancedXRFImageStorage,
        uid.SecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
        uid.MultiFrameTrueColorSecondaryCaptureImageStorage,
    }
)
_LOSSY_SYNTAXES: Final = frozenset({uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLSNearLossless})
_OVERLAY_GROUPS: Final = range(0x6000, 0x6020, 2)
OVERLAY_TAGS: Final = tuple(group << 16 | 0x0010 for group in _OVERLAY_GROUPS)
"""Overlay Rows of each group of overlays: every overlay has it."""


def observe_header(dataset: Dataset) -> tuple[RadiographObservation, ...]:
    """Notice what the header says, the reasons to refuse the radiograph first.

    Source:
        DICOM PS3.3 C.7.1.1 (patient), C.7.3.1 (series), C.7.6.1 (image), C.8.11.5 (DX positioning), C.9.2
        (overlays), C.7.6.1.1.5 (lossy compression).
    """
    return (*_observe_reasons(dataset), *_observe_passed_over(dataset))


def _observe_reasons(dataset: Dataset) -> Iterator[RadiographObservation]:
    modality = read_word(dataset, "Modality")
    if modality in _OTHER_MODALITIES:
        yield RadiographObservation(
            "not_a_radiograph", f"the DICOM file says that its modality is {modality}"
        )
    elif _is_other_class(dataset):
        yield RadiographObservation(
            "not_a_radiograph", "the DICOM file is of a class that holds no radiographs"
        )
    elif is_animal(dataset):
        yield RadiographObservation("not_a_radiograph", "the DICOM file describes an animal")
    if names_other_part(dataset):
        yield RadiographObservation(
            "not_chest", "the DICOM file names another part of the body than the chest"
        )
    if names_other_view(dataset) or names_decubitus(dataset) or _shows_side(dataset):
        yield RadiographObservation("not_frontal", "the DICOM file says that the view is not frontal")
    if is_child(dataset):
        yield RadiographObservation(
            "pediatric", f"the DICOM file says that the patient is younger than {ADULT_YEARS}"
        )


def _is_other_class(dataset: Dataset) -> bool:
    """Say whether the standard has the class, and it is another one; private classes say nothing."""
    meta = getattr(dataset, "file_meta", Dataset())
    classes = {str(dataset.get("SOPClassUID", "")), str(meta.get("MediaStorageSOPClassUID", ""))}
    known = {name for name in classes if uid.UID(name).type == "SOP Class"}
    return bool(known - _RADIOGRAPH_CLASSES)


def _shows_side(dataset: Dataset) -> bool:
    """Say whether front and back are in the plane of the picture: it is a lateral view, or a section."""
    return bool({word[:1] for word in read_words(dataset, "PatientOrientation")} & {"A", "P"})


def _observe_passed_over(dataset: Dataset) -> Iterator[RadiographObservation]:
    if not dataset.keys().isdisjoint(OVERLAY_TAGS):
        yield RadiographObservation("overlay_ignored", "an overlay of the DICOM file is not drawn")
    if read_word(dataset, "BurnedInAnnotation") == "YES":
        yield RadiographObservation("burned_in_annotation", "text or marks are part of the picture")
    if _is_lossy(dataset):
        yield RadiographObservation(
            "lossy_compression", f"the picture was compressed with loss{_read_ratio(dataset)}"
        )
    if _has_oblong_pixels(dataset):
        yield RadiographObservation(
            "pixels_not_square", "the pixels are not square; the shape of the body is not kept"
        )


def _is_lossy(dataset: Dataset) -> bool:
    meta = getattr(dataset, "file_meta", Dataset())
    return (
        read_word(dataset, "LossyImageCompression") == "01"
        or meta.get("TransferSyntaxUID") in _LOSSY_SYNTAXES
    )


def _read_ratio(dataset: Dataset) -> str:
    """Write the ratio of the last compression; empty if the header gives none that makes sense."""
    ratios = [ratio for ratio in _read_sensible_numbers(dataset, "LossyImageCompressionRatio") if ratio > 1.0]
    return f", {ratios[-1]:.4g} to 1" if ratios else ""


def _has_oblong_pixels(dataset: Dataset) -> bool:
    for keyword in ("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing"):
        numbers = _read_sensible_numbers(dataset, keyword)
        if len(numbers) == 2:
            return max(numbers) > 1.02 * min(numbers)
    return False


def _read_sensible_numbers(dataset: Dataset, keyword: str) -> list[float]:
    try:
        return [number for number in read_numbers(dataset, keyword) if number is not None and number > 0.0]
    except UnreadableRadiograph:  # of no effect on the picture
        return []
