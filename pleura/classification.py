"""The findings of one radiograph, as a reader of the answer sees them."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pleura.findings import FINDINGS


@dataclass(frozen=True)
class Finding:
    """One finding of a radiograph, judged at its operating point.

    ``measured`` is None where the model's description could not be read.
    """

    name: str
    probability: float
    threshold: float
    present: bool
    measured: bool | None

    @property
    def ratio(self) -> float:
        """Probability divided by threshold. Findings are ranked by this, not by probability."""
        return self.probability / max(self.threshold, 1e-6)  # an uncalibrated model has the threshold 0


def rank_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Rank findings: the present ones first, each group by falling ratio to the threshold.

    Unmeasured findings come last: nobody knows how well they are read, so none may head a list or an overlay.
    """
    return tuple(sorted(findings, key=lambda each: (each.measured is False, not each.present, -each.ratio)))


@dataclass(frozen=True, eq=False)
class OverlayContent:
    """What an overlay shows besides the radiograph.

    Args:
        findings: All findings, in the order of the list.
        shown: The finding whose map is drawn.
        activation: Its map, float32, (7, 7).
        warnings: Codes of what a reader must know before the findings.
    """

    findings: tuple[Finding, ...]
    shown: Finding
    activation: NDArray[np.float32]
    typicality: float
    model_version: str
    warnings: tuple[str, ...] = ()


def make_overlay_content(
    findings: Iterable[Finding],
    activation_map: NDArray[np.float32],
    typicality: float,
    model_version: str,
    name: str | None = None,
    warnings: Iterable[str] = (),
) -> OverlayContent:
    """Make the content of an overlay that shows a finding, or the first one of the list without a name.

    Args:
        findings: All findings.
        activation_map: The maps of all findings, in the order of ``FINDINGS``.
        typicality: The typicality of the radiograph.
        model_version: The version of the model that answered.
        name: The finding to show.
        warnings: The codes of the answer's warnings.
    """
    ranked = rank_findings(findings)
    shown = next(finding for finding in ranked if name in (None, finding.name))
    activation = activation_map[FINDINGS.index(shown.name)]
    return OverlayContent(ranked, shown, activation, typicality, model_version, tuple(warnings))
