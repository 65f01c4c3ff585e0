"""Compare how often champion and challenger agree with the verdicts of radiologists."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from pipelines.journal_reader import JournaledAnswer, select_verdicts
from pipelines.value import Value

Calls = NDArray[np.bool_]
"""For each radiograph, whether a model calls the finding present."""


class PairedAccuracy(Value):
    """How often each model was right, on radiographs with a verdict of a radiologist.

    ``p`` is the exact two-sided p-value of McNemar's test. ``p_worse`` is the p-value of the one-sided
    hypothesis that the challenger is worse. ``disputed`` counts radiographs on which readers contradict each
    other; they do not count otherwise.
    """

    both_right: int
    champion_only: int
    challenger_only: int
    both_wrong: int
    disputed: int
    p: float
    p_worse: float


def find_ground_truth(answer: JournaledAnswer, finding: str, *, after_seeing: bool) -> bool | str | None:
    """Find the readers' verdict on a finding.

    Args:
        answer: An answer with its verdicts.
        finding: One of the findings.
        after_seeing: Count only readers who had seen the answer, instead of only readers who had not.

    Returns:
        Whether the finding is present; None without a verdict, "disputed" if readers contradict each other.
    """
    blind = select_verdicts(answer)
    verdicts = blind
    if after_seeing:
        verdicts = tuple(
            verdict for verdict in select_verdicts(answer, even_if_seen=True) if verdict not in blind
        )
    calls = {
        verdict.present for verdict in verdicts if verdict.finding == finding and verdict.present is not None
    }
    return "disputed" if len(calls) == 2 else next(iter(calls), None)


def compare_accuracy(
    answers: Sequence[JournaledAnswer], finding: str, old: Calls, new: Calls, *, after_seeing: bool
) -> PairedAccuracy:
    """Compare the calls of both models, each of shape (N,), with the readers' verdicts."""
    truths = [find_ground_truth(answer, finding, after_seeing=after_seeing) for answer in answers]
    is_known = np.array([isinstance(truth, bool) for truth in truths], bool)
    is_present = np.array([truth is True for truth in truths], bool)[is_known]
    champion_right, challenger_right = old[is_known] == is_present, new[is_known] == is_present
    champion_only = int((champion_right & ~challenger_right).sum())
    challenger_only = int((~champion_right & challenger_right).sum())
    # Radiographs on which both are right, or both are wrong, do not tell the models apart (McNemar).
    discordant = champion_only + challenger_only
    return PairedAccuracy(
        both_right=int((champion_right & challenger_right).sum()),
        champion_only=champion_only,
        challenger_only=challenger_only,
        both_wrong=int((~champion_right & ~challenger_right).sum()),
        disputed=sum(truth == "disputed" for truth in truths),
        p=float(binomtest(challenger_only, discordant).pvalue) if discordant else 1.0,
        p_worse=float(binomtest(challenger_only, discordant, alternative="less").pvalue)
        if discordant
        else 1.0,
    )
