"""The gate's decision as a value: every figure, every bound, every reason, and the bytes that are signed.

There is no clock in it, and its figures are rounded before they are judged: the same inputs give the same
bytes, on another machine too.
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
    """One-sided p-values of statements on one finding, with Holm's correction over the findings.

    ``not_inferior`` is small where the challenger is shown to be within the margin, ``worse`` and
    ``better`` where it is shown to be just that.
    """

    not_inferior: float
    worse: float
    better: float


class Criterion(_Value):
    """One thing that was compared.

    ``advantage`` is the challenger's, positive where it is better, with its one-sided bounds ``low`` and
    ``high``; of a calibration slope the bounds are those of the challenger's slope itself. A figure is None
    where it could not be computed. ``is_excused`` tells that the protocol lets it go unshown.
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
        """Whether the challenger is refused for it."""
        return self.verdict == "failed" or (self.verdict == "cannot be shown" and not self.is_excused)


class ModelIdentity(_Value):
    """A model by version, and by the digest of its bundle."""

    version: str
    digest: Sha256


class DecisionInputs(_Value):
    """All that a decision was made from, by digest.

    ``radiographs`` is the digest of the compared radiographs' digests in their order, ``scores`` of
    everything that both models said of them and that is known of them.
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

    ``reasons`` holds what stands in the way, ``notes`` what a reader must know besides.
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
    """The one way to write a value down: JSON with sorted keys, no spaces, ASCII only, no NaN."""
    document = value.model_dump(mode="json")
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode()


def round_for_decision(value: float) -> float:
    """A figure as it is judged and written; zero has no sign."""
    return round(value, DECIMALS) + 0.0
