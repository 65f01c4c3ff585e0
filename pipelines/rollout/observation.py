"""What canary and stable revision did during a step, and whether the rollout must be rolled back."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from pipelines.rollout.plan import Guardrail, Guardrails
from pipelines.statistics.msprt import (
    EventCount,
    Excess,
    SequentialSample,
    is_failing,
    is_harmful,
    mean_excess,
    negate,
    rate_excess,
)
from pleura.findings import FINDINGS

_NO_CALLS = (0,) * len(FINDINGS)


@dataclass(frozen=True)
class RequestCounts:
    """What the predictor of a revision has counted since its process started."""

    requests: int = 0
    errors: int = 0
    refusals: int = 0
    invalid: int = 0
    """Answers with a value that is NaN or outside [0, 1]."""

    def with_invalid(self, more: int) -> "RequestCounts":
        """Add answers that a transformer found invalid."""
        return replace(self, invalid=self.invalid + more)

    def since(self, before: "RequestCounts") -> "RequestCounts":
        """The counts after ``before``; a restarted process counts from 0 again."""
        if self.requests < before.requests or self.invalid < before.invalid:
            return self
        return RequestCounts(
            self.requests - before.requests,
            max(0, self.errors - before.errors),
            max(0, self.refusals - before.refusals),
            self.invalid - before.invalid,
        )


@dataclass(frozen=True)
class JournaledAnswers:
    """What the journal holds of one model, without answers from the cache."""

    answers: int = 0
    calls: tuple[int, ...] = _NO_CALLS
    """For each finding, in how many answers the finding is present."""
    atypical: int = 0
    log_latency: SequentialSample = field(default_factory=lambda: SequentialSample(0, 0.0, 0.0))
    """Natural logarithm of the predictor's milliseconds."""
    refused: int = 0
    """Radiographs that were refused because of what the model's input check says."""


@dataclass(frozen=True)
class RevisionObservation:
    """What one revision did during one step."""

    journaled: JournaledAnswers = field(default_factory=JournaledAnswers)
    counted: RequestCounts = field(default_factory=RequestCounts)


@dataclass(frozen=True)
class Observation:
    """What both revisions did during one step.

    ``strangers`` counts answers of a model that is neither champion nor challenger. ``disagreements`` counts
    the findings on which both models differ, among all findings of the radiographs that both answered.
    """

    canary: RevisionObservation
    stable: RevisionObservation
    strangers: int = 0
    disagreements: EventCount = field(default_factory=lambda: EventCount(0, 0))


def find_rollback_reason(steps: Sequence[Observation], guardrails: Guardrails) -> str | None:
    """Find the reason to roll the canary back, in all steps so far; None if there is no reason."""
    if strangers := sum(step.strangers for step in steps):
        return f"{strangers} answers came from a model that is neither champion nor challenger"
    errors = EventCount(
        sum(step.canary.counted.errors for step in steps), sum(step.canary.counted.requests for step in steps)
    )
    if is_failing(errors, guardrails.tolerated_errors, guardrails.errors.alpha):
        return f"the canary fails: {errors.count} of {errors.answers} requests"
    for name, excess, guardrail, tests in _compare_revisions(steps, guardrails):
        if is_harmful(excess, guardrail.bound(guardrails.least_answers, tests)):
            return f"guardrail {name}: the canary is worse by {excess.value:.3g}"
    return None


def _compare_revisions(
    steps: Sequence[Observation], guardrails: Guardrails
) -> Iterator[tuple[str, Excess, Guardrail, int]]:
    """Give each guardrail's name, the canary's excess, the limits, and how many tests share the alpha."""

    def compare_rates(count: Callable[[RevisionObservation], EventCount]) -> Excess:
        return rate_excess([(count(step.canary), count(step.stable)) for step in steps])

    errors = compare_rates(lambda revision: EventCount(revision.counted.errors, revision.counted.requests))
    yield "errors", errors, guardrails.errors, 1
    refusals = compare_rates(
        lambda revision: EventCount(revision.counted.refusals, revision.counted.requests)
    )
    yield "refusals", refusals, guardrails.refusals, 1
    refused = compare_rates(
        lambda revision: EventCount(
            revision.journaled.refused, revision.journaled.answers + revision.journaled.refused
        )
    )
    yield "refused radiographs", refused, guardrails.refusals, 1
    latencies = [(step.canary.journaled.log_latency, step.stable.journaled.log_latency) for step in steps]
    yield "latency", mean_excess(latencies), guardrails.latency, 1
    atypical = compare_rates(
        lambda revision: EventCount(revision.journaled.atypical, revision.journaled.answers)
    )
    yield "atypical", atypical, guardrails.atypical, 1
    for index, finding in enumerate(FINDINGS):
        calls = compare_rates(partial(_count_calls, index))
        # All findings share the alpha, in both directions: one
        # of 28 tests would too often be alarmed by chance.
        tests = 2 * len(FINDINGS)
        yield f"call rate of {finding}, too many", calls, guardrails.call_rate, tests
        yield f"call rate of {finding}, too few", negate(calls), guardrails.call_rate, tests
    if guardrails.disagreement:
        yield "disagreement", _measure_disagreement(steps), guardrails.disagreement, 1


def _count_calls(index: int, revision: RevisionObservation) -> EventCount:
    return EventCount(revision.journaled.calls[index], revision.journaled.answers)


def _measure_disagreement(steps: Sequence[Observation]) -> Excess:
    """The share of findings on which both differ; the variance counts radiographs, not findings.

    The findings of one radiograph depend on each other.
    """
    differing = sum(step.disagreements.count for step in steps)
    findings = sum(step.disagreements.answers for step in steps)
    radiographs = findings // len(FINDINGS)
    if not radiographs:
        return Excess(0.0, float("inf"), 0)
    # Half an event is added, because a share of 0 would have no variance.
    share = (differing + 0.5) / (findings + 1)
    return Excess(share, share * (1 - share) / radiographs, radiographs)
