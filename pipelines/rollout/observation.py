"""What canary and stable revision did during a step, and whether that ends the rollout."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

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
    """What a revision's predictor has counted since it started."""

    requests: int = 0
    errors: int = 0
    refusals: int = 0
    invalid: int = 0
    """Answers that cannot be one: NaN, or outside [0, 1]."""

    def with_invalid(self, more: int) -> "RequestCounts":
        """The same, with answers that somebody else found invalid."""
        return replace(self, invalid=self.invalid + more)

    def since(self, before: "RequestCounts") -> "RequestCounts":
        """What was counted after ``before``; a process that started anew counts from 0 again."""
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
    """What the journal holds of one model's answers, without those from the cache."""

    answers: int = 0
    calls: tuple[int, ...] = _NO_CALLS
    """For each finding, in how many of them it is present."""
    atypical: int = 0
    log_latency: SequentialSample = field(default_factory=lambda: SequentialSample(0, 0.0, 0.0))
    """Logarithm of the milliseconds that the predictor took."""


@dataclass(frozen=True)
class RevisionObservation:
    """One revision during one step."""

    journaled: JournaledAnswers = field(default_factory=JournaledAnswers)
    counted: RequestCounts = field(default_factory=RequestCounts)


@dataclass(frozen=True)
class Observation:
    """One step. ``strangers`` are answers of a model that is neither of the two.

    ``disagreements`` counts findings on which both differ, of all findings of radiographs that both read.
    """

    canary: RevisionObservation
    stable: RevisionObservation
    strangers: int = 0
    disagreements: EventCount = field(default_factory=lambda: EventCount(0, 0))


def find_rollback_reason(steps: Sequence[Observation], guardrails: Guardrails) -> str | None:
    """Say why the canary must not go on, given all steps so far; None where nothing speaks against it."""
    if strangers := sum(each.strangers for each in steps):
        return f"{strangers} answers came from a model that is neither champion nor challenger"
    errors = EventCount(
        sum(each.canary.counted.errors for each in steps), sum(each.canary.counted.requests for each in steps)
    )
    if is_failing(errors, guardrails.tolerated_errors, guardrails.errors.alpha):
        return f"the canary fails: {errors.count} of {errors.answers} requests"
    for name, excess, guardrail, tests in _compared(steps, guardrails):
        if is_harmful(excess, guardrail.bound(guardrails.least_answers, tests)):
            return f"guardrail {name}: the canary is worse by {excess.value:.3g}"
    return None


def _compared(
    steps: Sequence[Observation], guardrails: Guardrails
) -> Iterator[tuple[str, Excess, Guardrail, int]]:
    def rates(events_of: Callable[[RevisionObservation], EventCount]) -> Excess:
        return rate_excess([(events_of(each.canary), events_of(each.stable)) for each in steps])

    yield (
        "errors",
        rates(lambda arm: EventCount(arm.counted.errors, arm.counted.requests)),
        guardrails.errors,
        1,
    )
    refusals = rates(lambda arm: EventCount(arm.counted.refusals, arm.counted.requests))
    yield "refusals", refusals, guardrails.refusals, 1
    latencies = [(each.canary.journaled.log_latency, each.stable.journaled.log_latency) for each in steps]
    yield "latency", mean_excess(latencies), guardrails.latency, 1
    atypical = rates(lambda arm: EventCount(arm.journaled.atypical, arm.journaled.answers))
    yield "atypical", atypical, guardrails.atypical, 1
    for index, finding in enumerate(FINDINGS):
        calls = rates(lambda arm, at=index: EventCount(arm.journaled.calls[at], arm.journaled.answers))  # type: ignore[misc]
        tests = 2 * len(FINDINGS)
        yield f"call rate of {finding}, too many", calls, guardrails.call_rate, tests
        yield f"call rate of {finding}, too few", negate(calls), guardrails.call_rate, tests
    if guardrails.disagreement:
        yield "disagreement", _disagreement(steps), guardrails.disagreement, 1


def _disagreement(steps: Sequence[Observation]) -> Excess:
    """The share on which both differ: findings of one radiograph go together, so radiographs are counted."""
    differing = sum(each.disagreements.count for each in steps)
    findings = sum(each.disagreements.answers for each in steps)
    radiographs = findings // len(FINDINGS)
    if not radiographs:
        return Excess(0.0, float("inf"), 0)
    share = (differing + 0.5) / (findings + 1)
    return Excess(share, share * (1 - share) / radiographs, radiographs)
