"""The version of ``pleura.radiograph.tensor``, apart, for those who need the number and not OpenCV."""

from typing import Final

PREPROCESSING_VERSION: Final = "1"
