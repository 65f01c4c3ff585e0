"""Checks the object keys that callers name, before any call of the object store."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from pleura.errors import InvalidRequest

_MAX_BYTES: Final = 1024
# Some programs take these characters for a slash or backslash, although Unicode's form NFKC keeps them.
_LOOK_ALIKES: Final = re.compile("[\u2044\u2215\u2216\u29f5\u29f8\u29f9]")
_BAD_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@dataclass(frozen=True)
class ObjectId:
    """The key of an object, which is safe as a part of any path.

    Raises:
        InvalidRequest: The key is not safe.
    """

    key: str

    def __post_init__(self) -> None:
        if reason := _find_fault(self.key):
            raise InvalidRequest(f"image_id is not valid: {reason}")

    @classmethod
    def from_bytes(cls, raw: bytes) -> "ObjectId":
        """Read an id from an element of a BYTES tensor.

        Raises:
            InvalidRequest: The bytes are not UTF-8, or not a safe key.
        """
        try:
            return cls(raw.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise InvalidRequest("image_id is not valid: it is not UTF-8") from error


def _find_fault(key: str) -> str | None:
    """Give the reason why a key is not safe, or None."""
    try:
        length = len(key.encode("utf-8"))
    except UnicodeEncodeError:
        return "it is not UTF-8"
    if not 1 <= length <= _MAX_BYTES:
        return f"it must have 1 to {_MAX_BYTES} bytes"
    if not key.strip():
        return "it is blank"
    if any(unicodedata.category(character) in _BAD_CATEGORIES for character in key):
        return "it has control or invisible characters"
    if _LOOK_ALIKES.search(key) or _has_hidden_steps(key):
        return "it has a backslash, or what looks like a dot or slash"
    if unicodedata.normalize("NFC", key) != key:
        return "it is not in Unicode normal form C"
    if any(segment in ("", ".", "..") for segment in key.split("/")):
        return "it has an empty, '.' or '..' segment"
    return None


def _has_hidden_steps(key: str) -> bool:
    """Tell whether another character becomes a dot, slash or backslash when the key is normalised."""
    others = key.replace(".", "").replace("/", "")
    # Unicode's rule, since a list of such characters had gaps (docs/decisions/0036)
    return any(step in unicodedata.normalize("NFKC", others) for step in "./\\")
