"""Read numbers from a DICOM header as other viewers do, without pydicom's conversion.

pydicom raises an exception for a decimal comma, or for text that is longer than the standard allows.
"""

import re
from typing import Final

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from pleura.errors import UnreadableRadiograph

_LARGEST_NUMBER: Final = 1e9
_NUMBER: Final = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_TEXT_VRS: Final = (None, "DS", "IS", "LO", "SH", "CS", "UN")
_PADDING: Final = " \0\t\r\n"


def read_numbers(dataset: Dataset, keyword: str) -> list[float | None]:
    """Read the values of a decimal or integer string; None stands for an empty value.

    Raises:
        UnreadableRadiograph: A value is not a number, or is larger than 1e9.
    """
    element = dataset.get_item(keyword)
    if element is None:
        return []
    if isinstance(element, RawDataElement) and element.VR in _TEXT_VRS:
        texts = (element.value or b"").decode("ascii", "replace").split("\\")
    else:
        value = dataset[keyword].value
        values = [value] if isinstance(value, str | int | float) else list(value or ())
        texts = [str(value) for value in values]
    return [_parse_number(text.strip(_PADDING), keyword) for text in texts]


def read_number(dataset: Dataset, keyword: str) -> float | None:
    """Read the first value; None if the element is absent or its first value is empty.

    Raises:
        UnreadableRadiograph: A value is not a number, or is larger than 1e9.
    """
    numbers = read_numbers(dataset, keyword)
    return numbers[0] if numbers else None


def _parse_number(text: str, keyword: str) -> float | None:
    if not text:
        return None
    # DICOM PS3.5 section 6.2 requires a decimal point; some devices write the comma of their language
    number = float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else float("nan")
    if not abs(number) <= _LARGEST_NUMBER:
        raise UnreadableRadiograph(f"{keyword} of the DICOM file is not a sensible number")
    return number


def read_word(dataset: Dataset, keyword: str) -> str:
    """Read a code string in upper case without padding; empty if the element is absent or empty."""
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip(_PADDING).upper()


def read_words(dataset: Dataset, keyword: str) -> list[str]:
    """Read the values of a code string in upper case without padding, and leave out empty ones."""
    value = dataset.get(keyword)
    texts = value.split("\\") if isinstance(value, str) else list(value or ())
    return [word for text in texts if (word := str(text).strip(_PADDING).upper())]
