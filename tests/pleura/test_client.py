"""The client: the request that it sends, and the answer that it reads."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pleura.classification import Finding
from pleura.client import ClassifiedRadiograph, read_response, write_request
from pleura.findings import FINDINGS


def _make_answer() -> ClassifiedRadiograph:
    activation = np.zeros((len(FINDINGS), 7, 7), np.float32)
    findings = tuple(
        Finding(name, 0.6 if name == "Effusion" else 0.1, 0.3, name == "Effusion", True) for name in FINDINGS
    )
    return ClassifiedRadiograph(
        findings, 0.5, "1.0.0", "digest", "1", False, "written", activation, "request-1"
    )


def test_findings_are_ranked_by_how_far_they_are_above_their_threshold() -> None:
    """A present finding comes first, whatever its probability; then the ratio to the threshold decides."""
    answer = _make_answer()
    assert answer.ranked[0].name == "Effusion"
    likely = Finding("Mass", 0.7, 0.9, False, None)
    changed = dataclasses.replace(answer, findings=(likely, *answer.findings))
    assert [finding.name for finding in changed.ranked[:2]] == ["Effusion", "Mass"]


def test_a_finding_that_is_not_measured_never_comes_first() -> None:
    """Nobody knows how well the model reads it, however high its probability is."""
    answer = _make_answer()
    unmeasured = Finding("Hernia", 1.0, 0.01, True, False)
    changed = dataclasses.replace(answer, findings=(unmeasured, *answer.findings))
    assert changed.ranked == (*answer.ranked, unmeasured)


@given(st.binary(max_size=50))
def test_a_request_announces_the_length_of_its_parts(element: bytes) -> None:
    """The JSON part comes first, then the length of the element, then the element."""
    body, length = write_request("image", element)
    assert body[:1] == b"{"
    assert body[length:] == len(element).to_bytes(4, "little") + element


def test_an_answer_that_is_cut_short_is_refused() -> None:
    """A tensor that is shorter than the answer announces is an error."""
    head = (
        b'{"outputs": [{"name": "typicality", "datatype": "FP32", "shape": [1],'
        b' "parameters": {"binary_data_size": 4}}]}'
    )
    _, arrays = read_response(head + b"\0\0\0\0", len(head))
    assert arrays["typicality"].tolist() == [0.0]
    with pytest.raises(ValueError, match="buffer"):
        read_response(head + b"\0", len(head))
