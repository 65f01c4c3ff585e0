"""Whether the challenger agrees with radiologists more or less often than the champion did."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from pipelines.journal_reader import JournaledAnswer, select_verdicts
from pipelines.value import Value

Calls = NDArray[np.bool_]


class PairedAccuracy(Value):
    """How often either model was right where radiologists said what is true.

    ``p`` is the exact two-sided p-value of McNemar's test, ``p_worse`` that of the one-sided claim that the
    challenger is worse. ``disputed`` counts radiographs on which readers contradict each other: they tell
    nothing.
    """

    both_right: int
    champion_only: int
    challenger_only: int
    both_wrong: int
    disputed: int
    p: float
    p_worse: float


def find_ground_truth(answer: JournaledAnswer, finding: str, *, after_seeing: bool) -> bool | str | None:
    """What the readers say of a finding: present, absent, None where nothing, "disputed" where both.

    Args:
        answer: An answer with its verdicts.
        finding: One of the findings.
        after_seeing: Ask only those who had seen the answer, instead of only those who had not.
    """
    blind = select_verdicts(answer)
    chosen = blind
    if after_seeing:
        chosen = tuple(v for v in select_verdicts(answer, even_if_seen=True) if v not in blind)
    said = {v.present for v in chosen if v.finding == finding and v.present is not None}
    return "disputed" if len(said) == 2 else next(iter(said), None)


def compare_accuracy(
    answers: Sequence[JournaledAnswer], finding: str, old: Calls, new: Calls, *, after_seeing: bool
) -> PairedAccuracy:
    """Hold both models' calls (N,) against the readers' word."""
    said = [find_ground_truth(answer, finding, after_seeing=after_seeing) for answer in answers]
    told = np.array([isinstance(word, bool) for word in said], bool)
    truth = np.array([word is True for word in said], bool)[told]
    right_before, right_now = old[told] == truth, new[told] == truth
    lost, gained = int((right_before & ~right_now).sum()), int((~right_before & right_now).sum())
    discordant = lost + gained
    return PairedAccuracy(
        both_right=int((right_before & right_now).sum()),
        champion_only=lost,
        challenger_only=gained,
        both_wrong=int((~right_before & ~right_now).sum()),
        disputed=sum(word == "disputed" for word in said),
        p=float(binomtest(gained, discordant).pvalue) if discordant else 1.0,
        p_worse=float(binomtest(gained, discordant, alternative="less").pvalue) if discordant else 1.0,
    )
