"""The gate's criteria: compare figures with the margins of the protocol."""

from typing import Final, cast

import numpy as np

from pipelines.gate.contenders import Contender, number_patients
from pipelines.gate.decision import Claims, Criterion, CriterionName, GateVerdict, round_for_decision
from pipelines.gate.measures import PairedMeasurement, ScoredPair, measure
from pipelines.gate.protocol import GateProtocol
from pipelines.statistics.calibration import estimate_calibration_slope
from pipelines.statistics.delong import macro_advantage, placements
from pipelines.statistics.holm import adjust_by_holm
from pipelines.statistics.paired import Estimate

_NO_VARIANCE: Final = "its positives or negatives are of fewer than two patients"
VerdictAndReason = tuple[GateVerdict, str]


def has_enough(name: CriterionName, pair: ScoredPair, protocol: GateProtocol) -> bool:
    """Tell whether a finding has enough positives and negatives; a rate needs only its own kind."""
    # Beside 13 radiographs with a hernia and 286 without, the specificity is well measured.
    positives = pair.positives >= protocol.minimum_positives or name == "specificity"
    negatives = pair.negatives >= protocol.minimum_negatives or name == "sensitivity"
    return positives and negatives


def _margin(name: CriterionName, finding: str, protocol: GateProtocol) -> float:
    if name == "sensitivity":
        return protocol.sensitivity.of(finding)
    if name == "specificity":
        return protocol.specificity.of(finding)
    return protocol.brier.margin if name == "brier" else protocol.auroc.margin


def _holm(p_values: list[float]) -> list[float]:
    return [round_for_decision(float(p)) for p in adjust_by_holm(p_values)]


def _claims(found: list[tuple[Estimate, float]]) -> list[Claims]:
    """Compute three claims for each finding, from its estimate and its margin."""
    families = (
        _holm([estimate.p_at_most(-margin) for estimate, margin in found]),
        _holm([estimate.p_at_least(0.0) for estimate, _ in found]),
        _holm([estimate.p_at_most(0.0) for estimate, _ in found]),
    )
    return [Claims(not_inferior=p, worse=q, better=r) for p, q, r in zip(*families, strict=True)]


def compare_findings(name: CriterionName, pairs: list[ScoredPair], protocol: GateProtocol) -> list[Criterion]:
    """Compare all findings in one criterion."""
    margins = [_margin(name, pair.finding, protocol) for pair in pairs]
    measured = [measure(name, pair) for pair in pairs]
    found = [(m.estimate, margin) for m, margin in zip(measured, margins, strict=True) if m]
    claims = iter(_claims(found))
    return [
        _criterion(name, pair, (m, next(claims)) if m else None, protocol)
        for pair, m in zip(pairs, measured, strict=True)
    ]


def _criterion(
    name: CriterionName,
    pair: ScoredPair,
    found: tuple[PairedMeasurement, Claims] | None,
    protocol: GateProtocol,
) -> Criterion:
    margin = _margin(name, pair.finding, protocol)
    plain = Criterion(
        name=name,
        finding=pair.finding,
        positives=pair.positives,
        negatives=pair.negatives,
        margin=margin,
        verdict="cannot be shown",
        reason=_NO_VARIANCE if has_enough(name, pair, protocol) else too_few(pair, protocol),
        is_excused=is_excused(name, pair, protocol),
    )
    if found is None:
        return plain
    measured, claims = found
    figures = plain.model_copy(
        update={
            "champion": round_for_decision(measured.champion),
            "challenger": round_for_decision(measured.challenger),
            "advantage": round_for_decision(measured.advantage),
            "low": round_for_decision(measured.estimate.low(protocol.confidence)),
            "high": round_for_decision(measured.estimate.high(protocol.confidence)),
            "claims": claims,
        }
    )
    by_point = name == "brier" and protocol.brier.judged_by == "point"
    verdict, reason = _decide(figures, has_enough(name, pair, protocol), by_point, protocol.alpha)
    return figures.model_copy(update={"verdict": verdict, "reason": reason or plain.reason})


def _decide(figures: Criterion, enough: bool, by_point: bool, alpha: float) -> VerdictAndReason:
    """Decide on rounded figures; the reason is empty if there are too few radiographs."""
    margin, advantage = figures.margin, cast(float, figures.advantage)
    low = advantage if by_point else cast(float, figures.low)
    shown_worse = figures.claims is not None and figures.claims.worse <= alpha
    if enough and low > -margin:
        return "passed", f"{advantage:+.4f}, at least {low:+.4f}; {-margin:+.4f} is allowed"
    if enough and advantage <= -margin:
        return "failed", f"{advantage:+.4f} itself is beyond the {-margin:+.4f} that is allowed"
    # Few positives cannot show that a challenger is good enough, but thirteen can show that it is worse.
    if shown_worse and low <= -margin:
        return "failed", f"{advantage:+.4f} is shown to be worse, and not to be within {-margin:+.4f}"
    if enough:
        return "cannot be shown", f"{advantage:+.4f}, but it may be {low:+.4f}; {-margin:+.4f} is allowed"
    return "cannot be shown", ""


def too_few(pair: ScoredPair, protocol: GateProtocol) -> str:
    """Write how many positives and negatives a finding lacks."""
    return (
        f"{pair.positives} positives and {pair.negatives} negatives, where "
        f"{protocol.minimum_positives} and {protocol.minimum_negatives} are needed"
    )


def is_excused(name: CriterionName, pair: ScoredPair, protocol: GateProtocol) -> bool:
    """Tell whether a finding may stay unshown; an exemption ends once there are enough positives."""
    is_exempt = pair.finding in protocol.exempt and not has_enough(name, pair, protocol)
    return is_exempt or protocol.unshown == "allow_with_note"


def compare_mean_auroc(
    pairs: list[ScoredPair], champion: Contender, challenger: Contender, protocol: GateProtocol
) -> Criterion:
    """Compare the mean AUROC over the findings that have enough positives and negatives."""
    columns = [index for index, pair in enumerate(pairs) if has_enough("macro auroc", pair, protocol)]
    plain = Criterion(
        name="macro auroc",
        positives=sum(pairs[index].positives for index in columns),
        negatives=sum(pairs[index].negatives for index in columns),
        margin=protocol.auroc.macro_margin,
        verdict="cannot be shown",
        reason="no finding has enough positives and negatives",
    )
    if not columns:
        return plain
    old, new = (side.scored.probabilities[:, columns] for side in (champion, challenger))
    labels = champion.scored.labels[:, columns]
    try:
        estimate = macro_advantage(labels, old, new, number_patients(champion.scored))
    except ValueError:  # all radiographs are of one patient
        return plain.model_copy(update={"reason": _NO_VARIANCE})
    chosen = [pairs[index] for index in columns]
    before = np.mean([placements(pair.truth, pair.old).auroc for pair in chosen])
    after = np.mean([placements(pair.truth, pair.new).auroc for pair in chosen])
    figures = plain.model_copy(
        update={
            "champion": round_for_decision(float(before)),
            "challenger": round_for_decision(float(after)),
            "advantage": round_for_decision(estimate.value),
            "low": round_for_decision(estimate.low(protocol.confidence)),
            "high": round_for_decision(estimate.high(protocol.confidence)),
        }
    )
    verdict, reason = _decide(figures, enough=True, by_point=False, alpha=protocol.alpha)
    return figures.model_copy(update={"verdict": verdict, "reason": reason})


def compare_calibration(pair: ScoredPair, protocol: GateProtocol) -> Criterion:
    """Compare the challenger's calibration slope with the allowed range; the champion's is only reported."""
    limits, patients = protocol.calibration_slope, pair.patients
    old, new = (estimate_calibration_slope(pair.truth, side, patients) for side in (pair.old, pair.new))
    plain = Criterion(
        name="calibration slope",
        finding=pair.finding,
        positives=pair.positives,
        negatives=pair.negatives,
        champion=round_for_decision(old.value) if old else None,
        challenger=round_for_decision(new.value) if new else None,
        low=round_for_decision(new.low(protocol.confidence)) if new else None,
        high=round_for_decision(new.high(protocol.confidence)) if new else None,
        margin=round_for_decision((limits.high - limits.low) / 2),
        verdict="cannot be shown",
        reason="it has no calibration slope",
        is_excused=is_excused("calibration slope", pair, protocol),
    )
    if not has_enough("calibration slope", pair, protocol):
        return plain.model_copy(update={"reason": too_few(pair, protocol)})
    if new is None:
        return plain
    verdict, reason = _decide_slope(plain, protocol)
    return plain.model_copy(update={"verdict": verdict, "reason": reason})


def _decide_slope(figures: Criterion, protocol: GateProtocol) -> VerdictAndReason:
    limits, slope = protocol.calibration_slope, cast(float, figures.challenger)
    low, high = cast(float, figures.low), cast(float, figures.high)
    words = f"{slope:.3f} ({low:.3f} to {high:.3f}); {limits.low} to {limits.high} is allowed"
    if not limits.low <= slope <= limits.high:
        return "failed", words
    if limits.judged_by == "point" or limits.low <= low <= high <= limits.high:
        return "passed", words
    return "cannot be shown", words
