"""Move what functional groups say about the display of a single frame into the header itself."""

from collections.abc import Iterator
from typing import Final

from pydicom.dataset import Dataset

from pleura.errors import UnreadableRadiograph

_RESCALE: Final = ("RescaleIntercept", "RescaleSlope", "ModalityLUTSequence")
_WINDOW: Final = ("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence")
_SHUTTER: Final = (
    "ShutterShape",
    "ShutterLeftVerticalEdge",
    "ShutterRightVerticalEdge",
    "ShutterUpperHorizontalEdge",
    "ShutterLowerHorizontalEdge",
    "CenterOfCircularShutter",
    "RadiusOfCircularShutter",
    "VerticesOfThePolygonalShutter",
    "ShutterPresentationValue",
    "ShutterOverlayGroup",
)
_SINGLE: Final = (
    "PatientOrientation",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "PixelAspectRatio",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "PresentationIntentType",
    "PresentationLUTShape",
    "PresentationLUTSequence",
    "PixelPresentation",
)
_FAMILIES: Final = (_RESCALE, _WINDOW, _SHUTTER, *((keyword,) for keyword in _SINGLE))
"""Attributes that replace each other: a group's window also replaces the table of the header.

Source:
    DICOM PS3.3 C.7.6.16.2.9 (pixel value transformation), .10 (VOI LUT), .15 (orientation), .16 (shutter).
"""
_MOVED: Final = tuple(keyword for family in _FAMILIES for keyword in family)
_FIXED: Final = (
    "PhotometricInterpretation",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "Rows",
    "Columns",
)
_GROUPS: Final = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


def apply_functional_groups(dataset: Dataset) -> None:
    """Copy what the functional groups say into ``dataset``; it replaces what the header says.

    All macros are searched, not only those of the standard: an object that was converted has others.

    Raises:
        UnreadableRadiograph: There are groups for several frames, a macro has several items, or a group
            contradicts the header about the layout of the pixels.
    """
    for item in list(_list_items(dataset)):
        for keyword in _FIXED:
            if keyword in item and item.get(keyword) != dataset.get(keyword):
                raise UnreadableRadiograph(f"a functional group of the DICOM file contradicts its {keyword}")
        for family in _FAMILIES:
            _move_family(item, dataset, family)


def _move_family(item: Dataset, dataset: Dataset, family: tuple[str, ...]) -> None:
    elements = [element for keyword in family if (element := item.get_item(keyword)) is not None]
    if not elements:
        return
    for keyword in family:
        if keyword in dataset:
            del dataset[keyword]
    for element in elements:
        dataset[element.tag] = element


def _list_items(dataset: Dataset) -> Iterator[Dataset]:
    """List the groups and their macros. Those of the frame come last: they replace the shared ones."""
    for keyword in _GROUPS:
        groups = dataset.get(keyword) or ()
        if len(groups) > 1:
            raise UnreadableRadiograph(
                "the DICOM file has functional groups of several frames, but one frame"
            )
        for group in groups:
            yield group
            for element in group:
                if element.VR != "SQ":
                    continue
                items = list(element.value)
                if len(items) > 1 and any(keyword in item for item in items for keyword in _MOVED):
                    raise UnreadableRadiograph("a functional group of the DICOM file has several items")
                yield from items
