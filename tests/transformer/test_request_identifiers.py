"""Identifiers that a V2 request gives as parameters."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pleura.errors import InvalidRequest
from pleura.identifiers import IDENTIFIER_NAMES, NO_IDENTIFIERS, Identifiers
from pleura.serving.kserve_import import InferInput, InferRequest
from transformer.request_identifiers import read_request_identifiers


def make_request(parameters: Any = None, input_parameters: Any = None) -> InferRequest:
    """Make a request with parameters in two places."""
    infer_input = InferInput("image", [1], "BYTES", parameters=input_parameters)
    return InferRequest("chest-xray", [infer_input], parameters=parameters)


def test_without_parameters_nothing_is_known() -> None:
    """Other parameters are no identifiers."""
    assert read_request_identifiers(make_request({"binary_data_output": True}), 2) == (NO_IDENTIFIERS,) * 2


@pytest.mark.parametrize("place", [0, 1])
def test_identifiers_stand_in_the_parameters_of_the_request_or_its_input(place: int) -> None:
    """Both places are read."""
    places = [{"accession_number": "A", "sop_instance_uid": "1.2"}, None]
    request = make_request(places[place], places[1 - place])
    assert read_request_identifiers(request, 1) == (Identifiers("A", None, "1.2"),)


def test_one_text_stands_for_all_radiographs_but_not_as_sop_instance_uid() -> None:
    """The films of a study share its numbers. Each film has a UID of its own."""
    request = make_request({"accession_number": "A", "study_instance_uid": "1.2"})
    assert read_request_identifiers(request, 3) == (Identifiers("A", "1.2"),) * 3
    with pytest.raises(InvalidRequest, match="one value for each"):
        read_request_identifiers(make_request({"sop_instance_uid": "1.2"}), 3)


@given(st.lists(st.sampled_from(["A1", "B 2", "", "Ä-3"]), min_size=2, max_size=32))
def test_a_list_and_a_text_with_backslashes_are_the_same(values: list[str]) -> None:
    """gRPC has no lists. An empty value is unknown."""
    expected = tuple(Identifiers(value or None) for value in values)
    listed = make_request({"accession_number": values})
    joined = make_request({"accession_number": "\\".join(values)})
    assert read_request_identifiers(listed, len(values)) == expected
    assert read_request_identifiers(joined, len(values)) == expected


@pytest.mark.parametrize(
    ("parameters", "input_parameters"),
    [
        ({"accession_number": 4711}, None),
        ({"accession_number": True}, None),
        ({"accession_number": {"a": "b"}}, None),
        ({"accession_number": ["A", 1]}, None),
        ({"accession_number": ["A"] * 3}, None),
        ({"accession_number": []}, None),
        ({"accession_number": "A\\B\\C"}, None),
        ({"accession_number": "x" * 17}, None),
        ({"study_instance_uid": ["1.2", "one.two"]}, None),
        ({"accession_number": "A"}, {"accession_number": "A"}),
    ],
    ids=str,
)
def test_other_parameters_are_refused(parameters: Any, input_parameters: Any) -> None:
    """The error names the parameter."""
    with pytest.raises(InvalidRequest, match=r"^'(accession_number|study_instance_uid)' "):
        read_request_identifiers(make_request(parameters, input_parameters), 2)


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)


@given(st.dictionaries(st.sampled_from(IDENTIFIER_NAMES), _ANY), st.integers(1, 4))
def test_any_parameters_give_identifiers_or_a_refusal(parameters: dict[str, Any], radiographs: int) -> None:
    """There is one element for each radiograph, or an error of ours."""
    with contextlib.suppress(InvalidRequest):
        assert len(read_request_identifiers(make_request(parameters), radiographs)) == radiographs
