"""The gate's decision as a value: every figure, bound and reason, and the bytes that are signed.

A decision holds no time, and figures are rounded before they are compared with margins. The same inputs
therefore give the same bytes on every machine.
"""

import json
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipelines.data.manifest import Sha256

DECIMALS: Final = 6
GateVerdict = Literal["passed", "failed", "cannot be shown"]
CriterionName = Literal[
    "auroc", "macro auroc", "sensitivity", "specificity", "brier", "calibration slope", "subgroup gap"
]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Claims(_Value):
    """One-sided p-values of three claims on one finding, with Holm's correction over the findings.

    ``not_inferior`` is small if the challenger is shown to be within the margin. ``worse`` and ``better``
    are small if it is shown to be worse or better.
    """

    not_inferior: float
    worse: float
    better: float


class Criterion(_Value):
    """One comparison and its verdict.

    ``advantage`` is the challenger's and is positive if the challenger is better. ``low`` and ``high`` are
    its one-sided bounds; for a calibration slope they bound the challenger's slope itself. A figure is None
    if it could not be computed. ``is_excused`` is True if the protocol allows that the criterion is not
    shown.
    """

    name: CriterionName
    finding: str = ""
    subgroup: str = ""
    positives: int = Field(ge=0)
    negatives: int = Field(ge=0)
    champion: float | None = None
    challenger: float | None = None
    advantage: float | None = None
    low: float | None = None
    high: float | None = None
    margin: float
    claims: Claims | None = None
    verdict: GateVerdict
    reason: str
    is_excused: bool = False

    @property
    def is_in_the_way(self) -> bool:
        """Whether the challenger is refused because of this criterion."""
        return self.verdict == "failed" or (self.verdict == "cannot be shown" and not self.is_excused)


class ModelIdentity(_Value):
    """A model by its version and the digest of its bundle."""

    version: str
    digest: Sha256


class DecisionInputs(_Value):
    """Everything that a decision was made from, by digest.

    ``radiographs`` is the digest of the radiographs' digests in their order. ``scores`` is the digest of the
    scores of both models, with the labels and attributes of the radiographs.
    """

    protocol_name: str
    protocol_version: str
    protocol_digest: Sha256
    is_clinical: bool
    data_set: Sha256
    code_version: str
    champion: ModelIdentity
    challenger: ModelIdentity
    radiographs: Sha256
    scores: Sha256


class Decision(_Value):
    """Whether the challenger may be promoted, and why.

    ``reasons`` forbid the promotion. ``notes`` are what a reader must also know.
    """

    format: Literal[1] = 1
    verdict: Literal["promoted", "refused"]
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    inputs: DecisionInputs
    radiographs: int = Field(ge=0)
    patients: int = Field(ge=0)
    criteria: tuple[Criterion, ...]

    @property
    def is_promoted(self) -> bool:
        """Whether the challenger may be promoted."""
        return self.verdict == "promoted"


def canonical_json(value: BaseModel) -> bytes:
    """Write a value in its only form: JSON with sorted keys, without spaces, in ASCII, without NaN."""
    document = value.model_dump(mode="json")
    # A signature covers bytes, so a decision may have one spelling only.
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode()


def round_for_decision(value: float) -> float:
    """Round a figure as it is compared and written; zero has no sign."""
    return round(value, DECIMALS) + 0.0
