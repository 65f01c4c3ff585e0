"""Pseudonyms of identifiers: the keys that make them, and the rule for two sources that contradict."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pleura.identifiers import NO_IDENTIFIERS, Identifiers
from transformer.pseudonyms import (
    NO_PSEUDONYMS,
    IdentifierMismatch,
    IdentifiersNotKept,
    PseudonymKeys,
    merge_pseudonyms,
)

NEW, OLD = b"n" * 32, b"o" * 32
KEYS = PseudonymKeys([NEW, OLD])
_PRINTABLE = st.characters(exclude_categories=["C"])
GIVEN = Identifiers("A-4711", "1.2.3", None)


def test_a_pseudonym_is_an_hmac_that_other_programs_compute_too() -> None:
    """OpenSSL gives the same, with the name of the identifier before it."""
    command = ["openssl", "dgst", "-sha256", "-hmac", NEW.decode()]
    done = subprocess.run(command, input=b"accession_number:A-4711", capture_output=True, check=True)
    assert KEYS.make_pseudonyms(GIVEN).accession_number == done.stdout.split()[-1].decode()


def test_the_first_key_makes_pseudonyms_and_all_keys_find_them() -> None:
    """A pseudonym of the old key is among those to look for."""
    before = PseudonymKeys([OLD]).make_pseudonyms(GIVEN)
    now = KEYS.make_pseudonyms(GIVEN)
    assert now.accession_number != before.accession_number
    assert KEYS.list_pseudonyms("accession_number", "A-4711") == [
        now.accession_number,
        before.accession_number,
    ]
    assert now.key_id == PseudonymKeys([NEW]).key_id != before.key_id


@given(st.text(_PRINTABLE, min_size=1, max_size=16), st.text(_PRINTABLE, min_size=1, max_size=16))
def test_pseudonyms_are_equal_exactly_where_identifiers_are(one: str, other: str) -> None:
    """The name of the identifier counts too, and no pseudonym contains the identifier."""
    first, second = (KEYS.make_pseudonyms(Identifiers(text, text)) for text in (one, other))
    assert (first == second) == (one == other)
    assert first.accession_number != first.study_instance_uid


def test_without_a_key_identifiers_are_refused_and_none_is_made() -> None:
    """Nobody believes that an identifier was kept."""
    keys = PseudonymKeys([])
    assert keys.make_pseudonyms(GIVEN) == NO_PSEUDONYMS
    with pytest.raises(IdentifiersNotKept, match="PLEURA_PSEUDONYM_KEY"):
        keys.require_key(GIVEN)
    keys.require_key(NO_IDENTIFIERS)


def test_request_and_header_complete_each_other() -> None:
    """What only one of them says is taken from it."""
    header = KEYS.make_pseudonyms(Identifiers("A-4711", None, "1.2.3.4"))
    merged = merge_pseudonyms(KEYS.make_pseudonyms(GIVEN), header)
    assert merged == KEYS.make_pseudonyms(Identifiers("A-4711", "1.2.3", "1.2.3.4"))
    assert merge_pseudonyms(NO_PSEUDONYMS, header) == header
    assert merge_pseudonyms(header, NO_PSEUDONYMS) == header


@pytest.mark.parametrize("name", ["accession_number", "study_instance_uid", "sop_instance_uid"])
def test_a_request_that_contradicts_the_header_is_refused(name: str) -> None:
    """One of the two is about another patient. The error names the identifier, and not its value."""
    given_one, header = (KEYS.make_pseudonyms(Identifiers(**{name: value})) for value in ("1.2.3", "1.2.4"))
    with pytest.raises(IdentifierMismatch, match=f"^'{name}' is not the one in") as caught:
        merge_pseudonyms(given_one, header)
    assert "1.2" not in str(caught.value)
