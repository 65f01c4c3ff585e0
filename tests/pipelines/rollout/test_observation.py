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
    """The default guardrails."""
    return read_plan().guardrails


def _with_calls(finding: int, calls: int) -> RevisionObservation:
    changed = list(_SOUND.journaled.calls)
    changed[finding] = calls
    return replace(_SOUND, journaled=replace(_SOUND.journaled, calls=tuple(changed)))


def test_an_equal_canary_goes_on(guardrails: Guardrails) -> None:
    """There is no reason against a canary that behaves as the stable revision, in one step or in many."""
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
        (replace(_SOUND, journaled=replace(_SOUND.journaled, refused=200)), "guardrail refused radiographs"),
        (_with_calls(3, 700), f"call rate of {FINDINGS[3]}, too many: the canary is worse by"),
        (_with_calls(13, 0), f"call rate of {FINDINGS[13]}, too few: the canary is worse by"),
    ],
)
def test_each_harm_has_its_reason(canary: RevisionObservation, reason: str, guardrails: Guardrails) -> None:
    """Each guardrail alone gives a reason that names it."""
    rollback_reason = find_rollback_reason([Observation(canary, _SOUND)], guardrails)
    assert rollback_reason is not None
    assert reason in rollback_reason


def test_a_difference_within_the_margin_is_accepted(guardrails: Guardrails) -> None:
    """A model that calls a finding a little more often, or is a little slower, may be the better one."""
    slower = replace(_SOUND.journaled, log_latency=SequentialSample(_ANSWERS, 3.6, 0.3))
    canary = replace(_with_calls(3, 230), counted=_SOUND.counted)
    assert find_rollback_reason([Observation(canary, _SOUND)], guardrails) is None
    assert find_rollback_reason([Observation(replace(_SOUND, journaled=slower), _SOUND)], guardrails) is None


def test_a_stranger_and_a_wide_disagreement_are_reasons(guardrails: Guardrails) -> None:
    """An answer of a third model, or two models that differ on a third of the findings, are reasons."""
    stranger = Observation(_SOUND, _SOUND, strangers=1)
    assert "neither champion nor challenger" in str(find_rollback_reason([stranger], guardrails))
    findings = 1000 * len(FINDINGS)
    steps = [
        Observation(_SOUND, _SOUND, disagreements=EventCount(count, findings))
        for count in (findings // 10, findings // 3)
    ]
    assert find_rollback_reason(steps[:1], guardrails) is None
    assert "guardrail disagreement" in str(find_rollback_reason(steps[1:], guardrails))


def test_counters_of_a_restarted_predictor_count_from_zero() -> None:
    """After a restart no request is counted twice, and no count is negative."""
    before, after = RequestCounts(100, 3, 2, 1), RequestCounts(120, 4, 2, 1)
    assert after.since(before) == RequestCounts(20, 1, 0, 0)
    assert RequestCounts(7, 1, 0, 1).since(before) == RequestCounts(7, 1, 0, 1)


def _plan_with(**changes: object) -> RolloutPlan:
    return RolloutPlan.model_validate({**read_plan().model_dump(), **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": [{"percent": 50, "least_answers": 1, "least_s": 0, "most_s": 1}]},
        {
            "steps": [
                {"percent": percent, "least_answers": 1, "least_s": 0, "most_s": 1} for percent in (5, 1, 100)
            ]
        },
        {"check_s": 30.0, "lease_s": 60.0},
        {"chek_s": 1.0},
    ],
)
def test_an_invalid_plan_is_refused(changes: dict[str, object]) -> None:
    """Steps that do not rise to 100 percent, a lease of less than three checks, unknown keys: errors."""
    with pytest.raises(ValidationError):
        _plan_with(**changes)
    assert [step.percent for step in _plan_with().steps] == [1, 5, 25, 50, 100]


def test_only_a_process_that_read_the_last_version_writes_the_ledger(tmp_path: Path) -> None:
    """Of two processes that read the same version, only one writes."""
    first, second = FileLedger(tmp_path / "ledger"), FileLedger(tmp_path / "ledger")
    assert first.read() is None
    assert first.swap(None, b"1")
    assert not second.swap(None, b"2")
    assert second.swap(b"1", b"3")
    assert not first.swap(b"1", b"4")
    assert first.read() == b"3"
