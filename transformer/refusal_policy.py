"""What follows from what was noticed about a radiograph: a refusal, a warning, or nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final, Literal, get_args

from pleura.errors import RefusalReason
from pleura.radiograph.observations import ObservationCode, RadiographObservation

PolicyAction = Literal["refuse", "warn", "allow"]
_ACTIONS: Final[tuple[PolicyAction, ...]] = get_args(PolicyAction)
_REASONS: Final[tuple[RefusalReason, ...]] = get_args(RefusalReason)
_DEFAULTS: Final[Mapping[RefusalReason, PolicyAction]] = {
    "not_a_radiograph": "refuse",
    "not_chest": "refuse",
    "not_frontal": "refuse",
    "pediatric": "refuse",
    "orientation": "refuse",
    "inverted": "refuse",
    "untypical": "warn",
    "too_small": "refuse",
}
"""The reasons that are a judgement: the picture is right, but the model was not made for it.

The other reasons always refuse, because there is no right picture of a radiograph to answer about.
"""


@dataclass(frozen=True)
class Judgement:
    """What the policy says about one radiograph."""

    refused: tuple[RadiographObservation, ...] = ()
    warned: tuple[RadiographObservation, ...] = ()
    allowed: tuple[RadiographObservation, ...] = ()

    def by_action(self) -> Mapping[PolicyAction, tuple[RadiographObservation, ...]]:
        """Give the observations by the action that follows."""
        return {"refuse": self.refused, "warn": self.warned, "allow": self.allowed}


NOTHING_NOTICED: Final = Judgement()


@dataclass(frozen=True)
class RefusalPolicy:
    """The action for each reason that is a judgement."""

    actions: Mapping[RefusalReason, PolicyAction] = field(default_factory=lambda: dict(_DEFAULTS))

    @classmethod
    def parse(cls, text: str) -> "RefusalPolicy":
        """Parse ``reason=action,...``. A reason that is not named keeps its default.

        Raises:
            ValueError: A reason or an action is unknown, a reason occurs twice, or always refuses.
        """
        actions: dict[RefusalReason, PolicyAction] = {}
        for number, entry in enumerate(filter(None, map(str.strip, text.split(","))), 1):
            reason, _, action = map(str.strip, entry.partition("="))
            known = _find_reason(reason, number)
            if known in actions:
                raise ValueError(f"entry {number}: the reason occurs twice")
            actions[known] = _find_action(action, number)
        return cls({**_DEFAULTS, **actions})

    def judge(self, observations: Sequence[RadiographObservation]) -> Judgement:
        """Say which observations refuse a radiograph, and which the answer tells."""
        groups: dict[PolicyAction, list[RadiographObservation]] = {action: [] for action in _ACTIONS}
        for observation in observations:
            groups[self._choose_action(observation.code)].append(observation)
        return Judgement(*(tuple(groups[action]) for action in _ACTIONS))

    def describe(self) -> dict[str, str]:
        """Give the action for each reason, those that always refuse too."""
        return {reason: self.actions.get(reason, "refuse") for reason in _REASONS}

    def _choose_action(self, code: ObservationCode) -> PolicyAction:
        if code not in _REASONS:  # something that was passed over
            return "warn"
        return self.actions.get(code, "refuse")


def _find_reason(text: str, number: int) -> RefusalReason:
    for known in _DEFAULTS:
        if text == known:
            return known
    if text in _REASONS:
        raise ValueError(
            f"entry {number}: that reason always refuses: there is no right picture to answer about"
        )
    nearest = get_close_matches(text, _DEFAULTS, 1)
    hint = f"; did you mean {nearest[0]}?" if nearest else ","
    raise ValueError(f"entry {number}: no such reason{hint} the reasons are {', '.join(_DEFAULTS)}")


def _find_action(text: str, number: int) -> PolicyAction:
    for known in _ACTIONS:
        if text == known:
            return known
    raise ValueError(
        f"entry {number}: the form is REASON=ACTION, with one of the actions {', '.join(_ACTIONS)}"
    )
