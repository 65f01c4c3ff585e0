"""The definition of subgroups that the report and the gate share."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.evaluation.subgroups import AGE_BOUNDS, ATTRIBUTES, age_band, find_subgroups
from tests.support.pipelines.evaluations import calibrated


@given(st.floats(0, 130))
def test_each_age_has_one_band(age: float) -> None:
    """The band that an age is named by begins at or below it and ends above it."""
    low, _, high = age_band(age, AGE_BOUNDS).rstrip("+").partition("-")
    assert float(low) <= age
    assert not high or age < float(high) + 1


def test_age_bands_are_named_by_whole_years() -> None:
    """18 begins a band, 39.9 ends it, and an unknown age has none."""
    ages = (0, 17.9, 18, 39.9, 64, 65, np.nan)
    assert [age_band(age, AGE_BOUNDS) for age in ages] == [
        *("0-17", "0-17", "18-39", "18-39", "40-64", "65+", ""),
    ]


def test_a_bound_at_zero_changes_nothing() -> None:
    """Stored evaluation protocols begin their bands at 0, the gate's protocol at the first cut."""
    assert age_band(12, (0, 18, 40)) == age_band(12, (18, 40)) == "0-17"


def test_members_and_rest_hold_each_known_radiograph_once() -> None:
    """A radiograph of unknown sex is in neither; one of known sex is in exactly one of both."""
    scored = calibrated(60)
    sexes = scored.sexes.copy()
    sexes[:10] = ""
    for group in find_subgroups(replace(scored, sexes=sexes), ["sex"], AGE_BOUNDS):
        assert ((group.members ^ group.rest) == (sexes != "")).all()


def test_a_single_source_is_no_subgroup() -> None:
    """Without a rest there is nothing to compare with."""
    attributes = {group.attribute for group in find_subgroups(calibrated(60), ATTRIBUTES, AGE_BOUNDS)}
    assert attributes == {"sex", "age", "view"}
