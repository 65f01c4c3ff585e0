"""Decide by the gate protocol whether a replay passes."""

from pipelines.gate.decision import GateVerdict
from pipelines.gate.protocol import GateProtocol
from pipelines.replay.replay_report import FindingReplay
from pipelines.replay.rescoring import RescoredAnswers


def judge_finding(comparison: FindingReplay, p_worse: float, protocol: GateProtocol) -> FindingReplay:
    """Give a finding its verdict and the reason.

    Args:
        comparison: The comparison of both models.
        p_worse: One-sided p-value of lost agreement with readers, adjusted for the number of findings.
        protocol: The limits.
    """
    limits, change = protocol.replay, comparison.call_rate_change
    disagreement = comparison.disagreement
    failed, unshown = [], []
    apart = f"they disagree on {disagreement.value:.1%}, {limits.disagreement_at_most:.0%} is allowed"
    moved = f"calls change by {change.value:+.1%}, {limits.call_rate_change_at_most:.0%} is allowed"
    if disagreement.value > limits.disagreement_at_most:
        failed.append(apart)
    elif disagreement.high > limits.disagreement_at_most:
        unshown.append(f"{apart}, and it may be {disagreement.high:.1%}")
    if abs(change.value) > limits.call_rate_change_at_most:
        failed.append(moved)
    elif max(-change.low, change.high) > limits.call_rate_change_at_most:
        unshown.append(f"{moved}, and it may be {change.low:+.1%} or {change.high:+.1%}")
    if p_worse <= protocol.alpha:
        failed.append(
            f"readers agree with the champion alone {comparison.blind.champion_only} times, "
            f"with the challenger alone {comparison.blind.challenger_only}"
        )
    reason = "; ".join(failed or unshown)
    return comparison.model_copy(update={"verdict": _decide(failed, unshown), "reason": reason})


def judge_replay(
    rescored: RescoredAnswers, invalid: int, findings: tuple[FindingReplay, ...], protocol: GateProtocol
) -> tuple[GateVerdict, tuple[str, ...]]:
    """Give the verdict on the whole replay, and the reasons."""
    limits, count, lost = protocol.replay, len(rescored.answers), rescored.left_out.lost
    failed = [f"{finding.finding}: {finding.reason}" for finding in findings if finding.verdict == "failed"]
    if invalid:
        failed.insert(0, f"the challenger gave no probabilities on {invalid} of {count} radiographs")
    unshown = [
        f"{finding.finding}: {finding.reason}" for finding in findings if finding.verdict == "cannot be shown"
    ]
    if count < limits.minimum_radiographs:
        unshown.insert(0, f"{count} radiographs, where {limits.minimum_radiographs} are needed")
    if lost > limits.left_out_at_most * (count + lost):
        unshown.insert(0, f"{lost} of {count + lost} radiographs could not be replayed")
    return _decide(failed, unshown), tuple(failed + unshown)


def _decide(failed: list[str], unshown: list[str]) -> GateVerdict:
    if failed:
        return "failed"
    return "cannot be shown" if unshown else "passed"
