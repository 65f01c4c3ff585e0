"""Does a model read some subgroups worse? Each subgroup is compared with all other radiographs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.evaluate import require_probabilities, sort_radiographs
from pipelines.evaluation.evaluation import EvaluationProtocol
from pipelines.evaluation.scored_radiographs import ScoredRadiographs, calls_at_threshold
from pipelines.evaluation.subgroups import ATTRIBUTES, Attribute, Subgroup, find_subgroups
from pipelines.statistics.bootstrap import (
    IntervalEstimate,
    aurocs,
    estimate_interval,
    observed_statistic,
    shares,
)
from pipelines.value import Value
from pleura.findings import FINDINGS

Floats = NDArray[np.floating]
MEAN = "mean"
"""The name of a gap that is the mean over findings."""


class Gap(Value):
    """The gap of one finding: the figure in the subgroup minus the figure in the rest.

    The gaps of sensitivity and specificity are at the served operating point. If ``finding`` is "mean",
    ``positives`` and ``positives_of_rest`` count over all findings.
    """

    finding: str
    positives: int
    positives_of_rest: int
    auroc: IntervalEstimate
    auroc_gap: IntervalEstimate
    sensitivity_gap: IntervalEstimate
    specificity_gap: IntervalEstimate


class TooSmall(Value):
    """A finding with too few positives, in the subgroup or in the rest, to show a gap."""

    finding: str
    positives: int
    positives_of_rest: int


class SubgroupEvaluation(Value):
    """A subgroup with its gaps, and with the findings that are too small to show one."""

    attribute: Attribute
    group: str
    radiographs: int
    patients: int
    gaps: tuple[Gap, ...]
    too_small: tuple[TooSmall, ...]


def _group_statistics(
    weights: Floats, scored: ScoredRadiographs, finding: int, threshold: float, group: Subgroup
) -> Floats:
    """Compute AUROC in the group, and the gaps of AUROC, sensitivity and specificity, (D, 4)."""
    called = calls_at_threshold(scored.probabilities[:, finding], threshold)
    both = []
    for rows in (group.members, group.rest):
        keep = rows & ~np.isnan(scored.labels[:, finding])
        w, labels = weights[:, keep], scored.labels[keep, finding]
        present = labels == 1
        area = aurocs(w, labels, scored.probabilities[keep, finding])
        both.append((area, shares(w, called[keep], present), shares(w, ~called[keep], ~present)))
    here, there = np.array(both)
    return np.column_stack([here[0], *(here - there)])


def _positives(scored: ScoredRadiographs, rows: NDArray[np.bool_]) -> NDArray[np.intp]:
    counts: NDArray[np.intp] = (scored.labels[rows] == 1).sum(axis=0)
    return counts


def _gap(finding: str, counts: tuple[int, int], values: Floats, drawn: Floats) -> Gap | None:
    figures = [estimate_interval(values[i], drawn[:, i]) for i in range(4)]
    if any(each is None for each in figures):
        return None
    names = ("auroc", "auroc_gap", "sensitivity_gap", "specificity_gap")
    named = dict(zip(names, figures, strict=True))
    return Gap.model_validate(
        {"finding": finding, "positives": counts[0], "positives_of_rest": counts[1]} | named
    )


def _evaluate_group(
    scored: ScoredRadiographs, thresholds: Sequence[float], group: Subgroup, protocol: EvaluationProtocol
) -> SubgroupEvaluation:
    here, there = _positives(scored, group.members), _positives(scored, group.rest)
    fewest = np.minimum(here, there)
    least = min(protocol.minimum_positives, protocol.subgroup_minimum_positives)
    shown = [f for f in range(len(FINDINGS)) if fewest[f] >= least]

    def statistics(weights: Floats) -> Floats:
        columns = [_group_statistics(weights, scored, f, thresholds[f], group) for f in shown]
        return np.concatenate(columns, axis=1) if columns else np.empty((len(weights), 0))

    values = observed_statistic(statistics, len(scored)).reshape(len(shown), 4)
    drawn = protocol.bootstrap.draw(statistics, scored.patients).reshape(protocol.draws, len(shown), 4)
    gaps = {
        FINDINGS[f]: _gap(FINDINGS[f], (int(here[f]), int(there[f])), values[i], drawn[:, i])
        for i, f in enumerate(shown)
        if fewest[f] >= protocol.subgroup_minimum_positives
    }
    positives = min(here[shown].sum(), there[shown].sum())
    if len(shown) > 1 and positives >= protocol.subgroup_minimum_positives:
        counts = int(here[shown].sum()), int(there[shown].sum())
        gaps[MEAN] = _gap(MEAN, counts, values.mean(axis=0), drawn.mean(axis=1))
    return SubgroupEvaluation(
        attribute=group.attribute,
        group=group.name,
        radiographs=int(group.members.sum()),
        patients=len(np.unique(scored.patients[group.members])),
        gaps=tuple(gap for gap in gaps.values() if gap),
        too_small=tuple(
            TooSmall(finding=name, positives=int(here[f]), positives_of_rest=int(there[f]))
            for f, name in enumerate(FINDINGS)
            if gaps.get(name) is None
        ),
    )


def evaluate_subgroups(
    scored: ScoredRadiographs, thresholds: Sequence[float], protocol: EvaluationProtocol | None = None
) -> tuple[SubgroupEvaluation, ...]:
    """Compare each sex, age band, view position and source with the rest.

    A finding is compared if subgroup and rest both have ``subgroup_minimum_positives``. The mean gap is
    over the findings for which both have ``minimum_positives``, if these are two or more.

    Raises:
        ValueError: The scores cannot be evaluated.
    """
    protocol = protocol or EvaluationProtocol()
    require_probabilities(scored)
    scored = sort_radiographs(scored)
    subgroups = find_subgroups(scored, ATTRIBUTES, protocol.age_bands)
    return tuple(_evaluate_group(scored, thresholds, group, protocol) for group in subgroups)
