"""What ``pleura answers`` prints about answers and refusals."""

from collections.abc import Mapping
from typing import Any

from pleura.console.answers import format_found, format_radiograph


def make_answer(**members: Any) -> Mapping[str, Any]:
    """Make an answer as the REST API gives it, with one finding."""
    finding = {"name": "Mass", "probability": 0.5, "present": True, "threshold": 0.25, "measured": True}
    model = {"name": "chest-xray", "version": "1.1.0", "digest": "d2"}
    answer = {"request_id": "r-1", "answered_to": "ris", "position": 0, "image_id": None}
    answer |= {"answered_at": "2026-12-01T02:00:00Z", "model": model, "typicality": 0.01}
    return answer | {"warnings": ["untypical"], "refusal_reasons": [], "findings": [finding]} | members


def make_refusal() -> Mapping[str, Any]:
    """Make the answer of a film that its header alone refused: no model has seen it."""
    model = dict.fromkeys(("name", "version", "digest"))
    return make_answer(
        model=model, typicality=None, warnings=[], refusal_reasons=["pediatric", "inverted"], findings=[]
    )


def test_an_answer_shows_its_warnings_and_findings() -> None:
    """A warning stands before the findings that it is about."""
    assert format_radiograph(make_answer()) == (
        "0: a file   (typicality 0.01, model 1.1.0, answered 2026-12-01T02:00:00Z)\n"
        "  warning: untypical\n"
        "  PRESENT  Mass                 0.500   threshold 0.250\n"
    )


def test_a_refused_film_shows_its_reasons() -> None:
    """It has neither typicality nor findings."""
    assert format_radiograph(make_refusal()) == (
        "0: a file   (refused 2026-12-01T02:00:00Z: pediatric, inverted)\n"
    )


def test_a_search_lists_findings_or_reasons() -> None:
    """One line says what is present, or why the film was refused."""
    assert format_found(make_answer()) == "2026-12-01T02:00:00Z  r-1 0  ris  model 1.1.0  Mass"
    assert format_found(make_refusal()) == "2026-12-01T02:00:00Z  r-1 0  ris  refused: pediatric, inverted"
