"""What follows from what was noticed about a radiograph."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pleura.contract import INPUT_FLAGS
from pleura.errors import RefusalReason
from pleura.radiograph.observations import RadiographObservation, WarningCode
from transformer.refusal_policy import PolicyAction, RefusalPolicy

SETTABLE = [
    reason
    for reason in get_args(RefusalReason)
    if reason
    not in ("for_processing", "several_frames", "blank", "uncertain_polarity", "display_not_supported")
]


def _judge(text: str, *codes: str) -> tuple[list[str], list[str]]:
    judgement = RefusalPolicy.parse(text).judge([RadiographObservation(code, code) for code in codes])  # type: ignore[arg-type]
    return [each.code for each in judgement.refused], [each.code for each in judgement.warned]


def test_by_default_every_reason_refuses_but_untypical_warns() -> None:
    """The films of a new hospital are answered, with a warning."""
    actions = RefusalPolicy.parse("").describe()
    assert set(actions) == set(get_args(RefusalReason))
    assert {reason for reason, action in actions.items() if action != "refuse"} == {"untypical"}
    assert actions["untypical"] == "warn"


@given(st.dictionaries(st.sampled_from(SETTABLE), st.sampled_from(get_args(PolicyAction))))
def test_each_judgement_can_be_set(wanted: dict[str, str]) -> None:
    """The reasons that are not named keep their defaults."""
    text = " , ".join(f"{reason} = {action}" for reason, action in wanted.items())
    assert RefusalPolicy.parse(text).describe() == RefusalPolicy.parse("").describe() | wanted


def test_what_was_noticed_is_refused_told_or_passed_over() -> None:
    """What the picture does not lose by is told, whatever the policy."""
    codes = ("pediatric", "untypical", "too_small", "overlay_ignored")
    assert _judge("", *codes) == (["pediatric", "too_small"], ["untypical", "overlay_ignored"])
    assert _judge("pediatric=warn,untypical=allow,too_small=allow", *codes) == (
        [],
        ["pediatric", "overlay_ignored"],
    )
    assert all(_judge("", code) == ([], [code]) for code in get_args(WarningCode))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("untypcal=warn", "entry 1: no such reason; did you mean untypical?"),
        ("untypical=warn,xyz=warn", "entry 2: no such reason, the reasons are not_a_radiograph"),
        ("untypical", "entry 1: the form is REASON=ACTION"),
        ("untypical=Refuse", "with one of the actions refuse, warn, allow"),
        ("for_processing=warn", "entry 1: that reason always refuses"),
        ("untypical=warn,untypical=allow", "entry 2: the reason occurs twice"),
    ],
)
def test_an_unknown_word_is_an_error_that_helps(text: str, message: str) -> None:
    """It names the entry and the nearest reason, and never repeats the value."""
    with pytest.raises(ValueError, match=message.split("?")[0].replace("(", r"\(")) as raised:
        RefusalPolicy.parse(text)
    assert "xyz" not in str(raised.value)


def test_every_flag_of_the_predictor_can_be_set() -> None:
    """What the pixels show is a judgement."""
    assert set(INPUT_FLAGS) <= set(SETTABLE)
