"""Pseudonyms of a radiograph's identifiers: what the journal keeps in their place.

A pseudonym is an HMAC with a secret key. Without the key nobody can compute it, or try all accession numbers
until one fits.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pleura.errors import InvalidRequest
from pleura.identifiers import IDENTIFIER_NAMES, Identifiers

_KEY_ID_DIGITS: Final = 12


class IdentifiersNotKept(InvalidRequest):
    """The request has identifiers, but the service has no key for their pseudonyms."""

    code = "identifiers_not_kept"


class IdentifierMismatch(InvalidRequest):
    """An identifier of the request contradicts the header of the radiograph's file."""

    code = "identifier_mismatch"


@dataclass(frozen=True)
class Pseudonyms:
    """The pseudonyms of one radiograph's identifiers, and which key made them ("" without a key)."""

    accession_number: str | None = None
    study_instance_uid: str | None = None
    sop_instance_uid: str | None = None
    key_id: str = ""


NO_PSEUDONYMS: Final = Pseudonyms()


class PseudonymKeys:
    """The keys of the pseudonyms. The first one makes new pseudonyms; look-ups try all of them."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)
        self.key_id = _make_key_id(keys[0]) if keys else ""
        """Tells whether a cached pseudonym is of the first key. It does not give the key away."""

    def make_pseudonyms(self, identifiers: Identifiers) -> Pseudonyms:
        """Make the pseudonyms for the journal. Without a key there are none."""
        if not self._keys:
            return NO_PSEUDONYMS
        made = {name: _digest(self._keys[0], name, v) for name, v in identifiers.as_mapping().items()}
        return Pseudonyms(**made, key_id=self.key_id)

    def require_key(self, identifiers: Identifiers) -> None:
        """Require a key if there are identifiers, in a request or a search.

        Raises:
            IdentifiersNotKept: There is no key.
        """
        if identifiers.as_mapping() and not self._keys:
            raise IdentifiersNotKept("this service keeps no identifiers: it has no PLEURA_PSEUDONYM_KEY")

    def list_pseudonyms(self, name: str, identifier: str) -> list[str]:
        """List the pseudonyms that the journal may have for an identifier, one for each key."""
        return [_digest(key, name, identifier) for key in self._keys]


def merge_pseudonyms(given: Pseudonyms, header: Pseudonyms) -> Pseudonyms:
    """Merge the pseudonyms of the request's identifiers with those of the file's header.

    Raises:
        IdentifierMismatch: The two contradict each other, so one of them is about another patient.
    """
    for name in IDENTIFIER_NAMES:
        if None not in (pair := (getattr(given, name), getattr(header, name))) and pair[0] != pair[1]:
            raise IdentifierMismatch(f"{name!r} is not the one in the file's header")
    merged = {name: getattr(given, name) or getattr(header, name) for name in IDENTIFIER_NAMES}
    return Pseudonyms(**merged, key_id=given.key_id or header.key_id)


def _make_key_id(key: bytes) -> str:
    return hmac.new(key, b"key id", hashlib.sha256).hexdigest()[:_KEY_ID_DIGITS]


def _digest(key: bytes, name: str, identifier: str) -> str:
    # with its name: an accession number and a UID of the same digits are two things
    return hmac.new(key, f"{name}:{identifier}".encode(), hashlib.sha256).hexdigest()
