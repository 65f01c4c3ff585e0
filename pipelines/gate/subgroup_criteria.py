"""Compare subgroups: does one fall further behind the rest under the challenger than under the champion?"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.subgroups import find_subgroups
from pipelines.gate.contenders import Contender, number_patients
from pipelines.gate.decision import Criterion, round_for_decision
from pipelines.gate.protocol import GateProtocol
from pipelines.statistics.delong import auroc_influence, placements
from pipelines.statistics.paired import Floats, Patients, estimate_from_influence

Rows = NDArray[np.bool_]


@dataclass(frozen=True)
class _Sides:
    """A subgroup and its rest, on the radiographs whose label of a finding is known."""

    finding: str
    subgroup: str
    truth: Floats
    scores: tuple[Floats, Floats]
    members: Rows
    patients: Patients

    def fewest(self, present: float) -> int:
        """Count positives (1.0) or negatives (0.0) on the side that has fewer of them."""
        of_kind = self.truth == present
        return int(min((of_kind & self.members).sum(), (of_kind & ~self.members).sum()))

    @property
    def can_be_compared(self) -> bool:
        """Whether both sides have negatives, and there is more than one patient."""
        return self.fewest(0) > 0 and bool((self.patients != self.patients[0]).any())

    def measure_gaps(self) -> tuple[list[float], Floats]:
        """Measure how far the subgroup's AUROC lies below that of the rest, under both models.

        Returns:
            The gap under the champion and under the challenger; and how much each radiograph moves the
            subgroup's gain relative to the gain of the rest, (n,).
        """
        gaps, moved = [0.0, 0.0], np.empty(len(self.truth))
        for rows, sign in ((self.members, 1.0), (~self.members, -1.0)):
            truth = self.truth[rows]
            old, new = (placements(truth, scores[rows]) for scores in self.scores)
            gaps = [gaps[0] - sign * old.auroc, gaps[1] - sign * new.auroc]
            moved[rows] = sign * (auroc_influence(truth, new) - auroc_influence(truth, old))
        return gaps, moved


def compare_subgroups(
    champion: Contender, challenger: Contender, protocol: GateProtocol
) -> Iterator[Criterion]:
    """Compare the gap of every subgroup that has enough positives, if its rest has enough too."""
    old, new = champion.scored, challenger.scored
    patients = number_patients(old)
    limits = protocol.subgroups
    for group in find_subgroups(old, limits.axes, limits.age_cuts):
        for index, finding in enumerate(champion.findings):
            rows = (group.members | group.rest) & ~np.isnan(old.labels[:, index])
            sides = _Sides(
                finding,
                f"{group.attribute} {group.name}",
                old.labels[rows, index],
                (old.probabilities[rows, index], new.probabilities[rows, index]),
                group.members[rows],
                patients[rows],
            )
            if sides.fewest(1) >= limits.minimum_positives and sides.can_be_compared:
                yield _criterion(sides, protocol)


def _criterion(sides: _Sides, protocol: GateProtocol) -> Criterion:
    gaps, moved = sides.measure_gaps()
    # Only a subgroup that is behind counts: one that was ahead and is less so has lost nothing to the rest.
    widened = round_for_decision(max(gaps[1], 0.0) - max(gaps[0], 0.0))
    estimate = estimate_from_influence(gaps[0] - gaps[1], moved, sides.patients)
    limit = protocol.subgroups.widened_by
    return Criterion(
        name="subgroup gap",
        finding=sides.finding,
        subgroup=sides.subgroup,
        positives=sides.fewest(1),
        negatives=sides.fewest(0),
        champion=round_for_decision(gaps[0]),
        challenger=round_for_decision(gaps[1]),
        advantage=round_for_decision(-widened),
        low=round_for_decision(estimate.low(protocol.confidence)),
        high=round_for_decision(estimate.high(protocol.confidence)),
        margin=limit,
        verdict="passed" if widened < limit else "failed",
        reason=f"the gap was {gaps[0]:+.3f} and is {gaps[1]:+.3f}; it may not widen by {limit:g}",
    )
