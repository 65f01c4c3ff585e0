"""A reference keeps shapes, travels as JSON, and keeps no radiograph's own score."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipelines.drift.reference import (
    DriftReference,
    DriftSample,
    Histogram,
    NoRadiographs,
    Share,
    build_reference,
)
from pipelines.value import InvalidDocument
from tests.support.pipelines.drift_values import MODEL, SINCE, reference

numbers = arrays(np.float64, st.integers(1, 60), elements=st.floats(-1e6, 1e6))


@given(numbers, numbers)
def test_each_value_is_counted_once(own: np.ndarray, others: np.ndarray) -> None:
    """Whatever the values, ties too, every one falls into one bin."""
    made = Histogram.of(own)
    assert made.n == len(own)
    assert made.of_others(others).n == len(others)


def test_bins_hold_a_twentieth_each() -> None:
    """Where no two values are equal the bins of the reference are equally full."""
    assert set(Histogram.of(np.arange(200.0)).counts) == {10}


def test_what_is_no_number_is_refused() -> None:
    """NaN is counted nowhere, and not silently."""
    with pytest.raises(ValueError, match="numbers"):
        Histogram.of(np.arange(20.0)).of_others(np.array([1.0, np.nan]))


def test_a_reference_travels_as_json() -> None:
    """What is stored reads as what it was."""
    assert DriftReference.from_json(reference().to_json()) == reference()


@pytest.mark.parametrize("document", [b"", b"{}", b"[1]", reference().to_json().replace(b"edges", b"edge")])
def test_what_is_no_reference_is_refused(document: bytes) -> None:
    """A partial or foreign object is an error and is not compared."""
    with pytest.raises(InvalidDocument):
        DriftReference.from_json(document)


def test_nothing_makes_no_reference() -> None:
    """A reference cannot be made from an empty window."""
    with pytest.raises(NoRadiographs):
        build_reference(DriftSample(MODEL, 0, 0, {}, {}), "nothing", SINCE)


def test_a_share_has_at_most_as_many_hits_as_radiographs() -> None:
    """More hits than radiographs are a mistake in counting."""
    with pytest.raises(ValueError, match="at most as many hits"):
        Share(hits=3, n=2)
