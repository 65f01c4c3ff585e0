"""Decide whether a challenger may take the champion's place, on the same sealed radiographs.

A challenger is promoted if every criterion of the protocol is shown to hold. "Cannot be shown" is a verdict
of its own: there are too few positives, or the bound lies beyond the margin while the figure does not.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipelines.evaluation.scored_radiographs import calls_at_threshold
from pipelines.gate.contenders import (
    Contender,
    find_incompatibilities,
    number_patients,
    radiographs_digest,
    scores_digest,
)
from pipelines.gate.criteria import compare_calibration, compare_findings, compare_mean_auroc
from pipelines.gate.decision import Criterion, Decision, DecisionInputs
from pipelines.gate.measures import ScoredPair
from pipelines.gate.protocol import GateProtocol
from pipelines.gate.subgroup_criteria import compare_subgroups

_PER_FINDING: Final = ("auroc", "sensitivity", "specificity", "brier")


@dataclass(frozen=True)
class Provenance:
    """The digest of the data set, and the version of the code."""

    data_set: str
    code_version: str


def decide(
    protocol: GateProtocol, champion: Contender, challenger: Contender, provenance: Provenance
) -> Decision:
    """Decide whether the challenger may be promoted. Unusable scores give a refusal, not an exception."""
    inputs = DecisionInputs(
        protocol_name=protocol.name,
        protocol_version=protocol.version,
        protocol_digest=protocol.digest,
        is_clinical=protocol.is_clinical,
        data_set=provenance.data_set,
        code_version=provenance.code_version,
        champion=champion.identity,
        challenger=challenger.identity,
        radiographs=radiographs_digest(challenger.scored),
        scores=scores_digest(champion.scored, challenger.scored),
    )
    obstacles = find_incompatibilities(champion, challenger)
    # Nothing is computed from scores that cannot be compared, such as NaN.
    criteria = () if obstacles else tuple(_criteria(protocol, champion, challenger))
    reasons = obstacles or tuple(_sentence(each) for each in criteria if each.is_in_the_way)
    return Decision(
        verdict="refused" if reasons else "promoted",
        reasons=reasons,
        notes=tuple(_notes(protocol, criteria)),
        inputs=inputs,
        radiographs=len(challenger.scored),
        patients=len(np.unique(number_patients(challenger.scored))),
        criteria=criteria,
    )


def pair_findings(champion: Contender, challenger: Contender) -> list[ScoredPair]:
    """Pair the scores of both models for each finding, on the radiographs whose label is known."""
    patients = number_patients(champion.scored)
    pairs = []
    for index, finding in enumerate(champion.findings):
        truth = champion.scored.labels[:, index]
        known = ~np.isnan(truth)
        old, new = (side.scored.probabilities[known, index] for side in (champion, challenger))
        old_calls = calls_at_threshold(old, champion.thresholds[index])
        new_calls = calls_at_threshold(new, challenger.thresholds[index])
        pairs.append(ScoredPair(finding, truth[known], old, new, old_calls, new_calls, patients[known]))
    return pairs


def _criteria(protocol: GateProtocol, champion: Contender, challenger: Contender) -> Iterator[Criterion]:
    pairs = pair_findings(champion, challenger)
    for name in _PER_FINDING:
        yield from compare_findings(name, pairs, protocol)
    yield compare_mean_auroc(pairs, champion, challenger, protocol)
    for pair in pairs:
        yield compare_calibration(pair, protocol)
    yield from compare_subgroups(champion, challenger, protocol)


def _sentence(criterion: Criterion) -> str:
    where = " of ".join(filter(None, (criterion.finding, criterion.subgroup)))
    return f"{criterion.name}{', ' + where if where else ''}: {criterion.verdict}: {criterion.reason}"


def _notes(protocol: GateProtocol, criteria: tuple[Criterion, ...]) -> Iterator[str]:
    if not protocol.is_clinical:
        yield f"decided by {protocol.name}, which is not a clinical protocol: {protocol.purpose}"
    for each in criteria:
        if each.verdict == "cannot be shown" and each.is_excused:
            why = protocol.exempt.get(each.finding, "the protocol allows it")
            yield f"{_sentence(each)}; excused: {why}"
        if each.verdict == "passed" and each.claims and each.claims.worse <= protocol.alpha:
            yield f"{each.name}, {each.finding}: worse, but shown to be within the margin"
    if criteria and not any(each.name == "subgroup gap" for each in criteria):
        yield f"no subgroup has {protocol.subgroups.minimum_positives} positives and as many in the rest"
