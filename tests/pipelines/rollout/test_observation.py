"""What ends a rollout, out of what was seen of both arms."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipelines.rollout.ledger import FileLedger
from pipelines.rollout.observation import (
    JournaledAnswers,
    Observation,
    RequestCounts,
    RevisionObservation,
    find_rollback_reason,
)
from pipelines.rollout.plan import Guardrails, RolloutPlan, read_plan
from pipelines.statistics.msprt import EventCount, SequentialSample
from pleura.findings import FINDINGS

_ANSWERS = 2000
_SOUND = RevisionObservation(
    JournaledAnswers(
        _ANSWERS, tuple(100 + 10 * i for i in range(len(FINDINGS))), 40, SequentialSample(_ANSWERS, 3.5, 0.3)
    ),
    RequestCounts(requests=_ANSWERS, errors=1, refusals=2),
)


@pytest.fixture(scope="module")
def guardrails() -> Guardrails:
    """The default ones."""
    return read_plan().guardrails


def _with_calls(finding: int, calls: int) -> RevisionObservation:
    each = list(_SOUND.journaled.calls)
    each[finding] = calls
    return replace(_SOUND, journaled=replace(_SOUND.journaled, calls=tuple(each)))


def test_an_equal_canary_goes_on(guardrails: Guardrails) -> None:
    """Nothing speaks against a canary that does as the stable revision does, seen once or again and again."""
    assert find_rollback_reason([], guardrails) is None
    assert find_rollback_reason([Observation(_SOUND, _SOUND)] * 5, guardrails) is None


@pytest.mark.parametrize(
    ("canary", "reason"),
    [
        (replace(_SOUND, counted=replace(_SOUND.counted, errors=60)), "guardrail errors"),
        (replace(_SOUND, counted=replace(_SOUND.counted, refusals=120)), "guardrail refusals"),
        (replace(_SOUND, counted=RequestCounts(requests=3, errors=3)), "the canary fails: 3 of 3 requests"),
        (
            replace(
                _SOUND, journaled=replace(_SOUND.journaled, log_latency=SequentialSample(_ANSWERS, 3.9, 0.3))
            ),
            "guardrail latency",
        ),
        (replace(_SOUND, journaled=replace(_SOUND.journaled, atypical=400)), "guardrail atypical"),
        (_with_calls(3, 700), f"call rate of {FINDINGS[3]}, too many: the canary is worse by"),
        (_with_calls(13, 0), f"call rate of {FINDINGS[13]}, too few: the canary is worse by"),
    ],
)
def test_each_harm_has_its_reason(canary: RevisionObservation, reason: str, guardrails: Guardrails) -> None:
    """Each guardrail trips by itself, and names itself."""
    found = find_rollback_reason([Observation(canary, _SOUND)], guardrails)
    assert found is not None
    assert reason in found


def test_what_lies_within_a_margin_is_minded_by_nobody(guardrails: Guardrails) -> None:
    """A model that calls somewhat more often, or a little slower, may well be the better one."""
    slower = replace(_SOUND.journaled, log_latency=SequentialSample(_ANSWERS, 3.6, 0.3))
    canary = replace(_with_calls(3, 230), counted=_SOUND.counted)
    assert find_rollback_reason([Observation(canary, _SOUND)], guardrails) is None
    assert find_rollback_reason([Observation(replace(_SOUND, journaled=slower), _SOUND)], guardrails) is None


def test_a_stranger_and_a_wide_disagreement_end_it(guardrails: Guardrails) -> None:
    """An answer of a third model, or two models that differ on a third of the findings, are reasons."""
    stranger = Observation(_SOUND, _SOUND, strangers=1)
    assert "neither champion nor challenger" in str(find_rollback_reason([stranger], guardrails))
    findings = 1000 * len(FINDINGS)
    seen = [
        Observation(_SOUND, _SOUND, disagreements=EventCount(count, findings))
        for count in (findings // 10, findings // 3)
    ]
    assert find_rollback_reason(seen[:1], guardrails) is None
    assert "guardrail disagreement" in str(find_rollback_reason(seen[1:], guardrails))


def test_counters_of_a_predictor_that_started_anew_count_from_zero() -> None:
    """A restart loses what was counted before, and nothing is counted twice or negatively."""
    before, after = RequestCounts(100, 3, 2, 1), RequestCounts(120, 4, 2, 1)
    assert after.since(before) == RequestCounts(20, 1, 0, 0)
    assert RequestCounts(7, 1, 0, 1).since(before) == RequestCounts(7, 1, 0, 1)


def _plan_with(**changes: object) -> RolloutPlan:
    return RolloutPlan.model_validate({**read_plan().model_dump(), **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": [{"percent": 50, "least_answers": 1, "least_s": 0, "most_s": 1}]},
        {"steps": [{"percent": each, "least_answers": 1, "least_s": 0, "most_s": 1} for each in (5, 1, 100)]},
        {"check_s": 30.0, "lease_s": 60.0},
        {"chek_s": 1.0},
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(changes: dict[str, object]) -> None:
    """Steps that do not rise to 100 percent, a lease shorter than the looks, and typing errors are found."""
    with pytest.raises(ValidationError):
        _plan_with(**changes)
    assert [step.percent for step in _plan_with().steps] == [1, 5, 25, 50, 100]


def test_a_ledger_is_written_by_who_read_it_last(tmp_path: Path) -> None:
    """Of two who have read the same, one writes; who has read nothing writes only the first word."""
    one, other = FileLedger(tmp_path / "ledger"), FileLedger(tmp_path / "ledger")
    assert one.read() is None
    assert one.swap(None, b"1")
    assert not other.swap(None, b"2")
    assert other.swap(b"1", b"3")
    assert not one.swap(b"1", b"4")
    assert one.read() == b"3"
