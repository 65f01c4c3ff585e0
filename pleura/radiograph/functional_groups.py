"""Move what functional groups say about the display of a single frame into the header itself."""

from collections.abc import Iterator
from typing import Final

from pydicom.dataset import Dataset

from pleura.errors import UnreadableRadiograph

MACROS: Final = {
    "PixelValueTransformationSequence": "RescaleIntercept RescaleSlope ModalityLUTSequence",
    "FrameVOILUTSequence": "WindowCenter WindowWidth VOILUTFunction VOILUTSequence",
    "FrameDisplayShutterSequence": """
        ShutterShape ShutterLeftVerticalEdge ShutterRightVerticalEdge ShutterUpperHorizontalEdge
        ShutterLowerHorizontalEdge CenterOfCircularShutter RadiusOfCircularShutter
        VerticesOfThePolygonalShutter ShutterPresentationValue ShutterOverlayGroup
    """,
    "PatientOrientationInFrameSequence": "PatientOrientation",
    "PixelMeasuresSequence": "PixelSpacing",
}
"""The macros that change what is displayed, with their attributes.

Source:
    DICOM PS3.3 C.7.6.16.2.9 (transformation), .10 (window), .15 (orientation), .16 (shutter), .1 (measures).
"""
_GROUPS: Final = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


def apply_functional_groups(dataset: Dataset) -> None:
    """Copy the attributes of the macros into ``dataset``. What a group says replaces what the header says.

    A window and a table replace each other too: the header's table does not outlive the group's window.

    Raises:
        UnreadableRadiograph: There are groups for several frames, or a macro has several items.
    """
    for item, attributes in list(_list_macro_items(dataset)):
        keywords = attributes.split()
        elements = [element for keyword in keywords if (element := item.get_item(keyword)) is not None]
        if not elements:
            continue
        for keyword in keywords:
            if keyword in dataset:
                del dataset[keyword]
        for element in elements:
            dataset[element.tag] = element


def _list_macro_items(dataset: Dataset) -> Iterator[tuple[Dataset, str]]:
    """List the items of the macros. Those of the frame come last, so that they replace the shared ones."""
    for keyword in _GROUPS:
        groups = dataset.get(keyword) or ()
        if len(groups) > 1:
            raise UnreadableRadiograph(
                "the DICOM file has functional groups of several frames, but one frame"
            )
        for group in groups:
            for macro, attributes in MACROS.items():
                items = group.get(macro) or ()
                if len(items) > 1:
                    raise UnreadableRadiograph(f"{macro} of the DICOM file has several items")
                yield from ((item, attributes) for item in items)
