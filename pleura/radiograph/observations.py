"""What is noticed about a radiograph besides its picture; the policy of the service decides what follows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from pleura.errors import RefusalReason

WarningCode = Literal["overlay_ignored", "burned_in_annotation", "lossy_compression", "pixels_not_square"]
"""What is passed over. The picture is read, and the answer says so."""
ObservationCode = RefusalReason | WarningCode


@dataclass(frozen=True)
class RadiographObservation:
    """One thing that was noticed.

    ``code`` is a reason for which the radiograph may be refused, or names what is passed over. ``text`` is
    made of our own words and numbers: a header may hold a patient's name anywhere.
    """

    code: ObservationCode
    text: str


def observations_to_json(observations: Iterable[RadiographObservation]) -> list[dict[str, str]]:
    """Give the JSON form: a list of objects with ``code`` and ``text``."""
    return [{"code": each.code, "text": each.text} for each in observations]


def observations_from_json(items: Iterable[Mapping[str, Any]]) -> tuple[RadiographObservation, ...]:
    """Read the form that ``observations_to_json`` gives."""
    return tuple(RadiographObservation(item["code"], item["text"]) for item in items)


MIN_SIDE_PX: Final = 96
"""A radiograph whose shorter side has fewer pixels is too small (docs/decisions/0049)."""


def observe_size(rows: int, columns: int) -> tuple[RadiographObservation, ...]:
    """Notice a radiograph that shows too little detail."""
    if min(rows, columns) >= MIN_SIDE_PX:
        return ()
    text = f"the radiograph has {rows} x {columns} pixels, fewer than {MIN_SIDE_PX} on a side"
    return (RadiographObservation("too_small", text),)
