"""The values of a replay that are stored and reported."""

from typing import Literal

from pipelines.gate.decision import GateVerdict, ModelIdentity
from pipelines.replay.accuracy import PairedAccuracy
from pipelines.replay.rescoring import LeftOutAnswers
from pipelines.value import Value


class RateWithBounds(Value):
    """A rate with its one-sided bounds at the confidence of the gate protocol."""

    value: float
    low: float
    high: float


class FindingReplay(Value):
    """The comparison on one finding.

    Rates are shares of the replayed radiographs; ``psi`` and ``ks`` compare the probabilities. ``blind``
    counts readers who had not seen the answer. ``after_seeing`` counts the others, and never decides.
    """

    finding: str
    champion_calls: int
    challenger_calls: int
    disagreement: RateWithBounds
    call_rate_change: RateWithBounds
    psi: float
    ks: float
    blind: PairedAccuracy
    after_seeing: PairedAccuracy
    verdict: GateVerdict
    reason: str


class ReplayLatency(Value):
    """Milliseconds: the champion's as journaled, with queue and network, the challenger's in this process."""

    champion_median: float | None
    champion_p95: float | None
    challenger_median: float | None
    challenger_p95: float | None


class ReplayReport(Value):
    """The result of a replay; ``invalid`` counts radiographs with invalid probabilities of the challenger."""

    format: Literal[1] = 1
    champion_digest: str
    challenger: ModelIdentity
    protocol_digest: str
    radiographs: int
    left_out: LeftOutAnswers
    invalid: int
    latency_ms: ReplayLatency
    findings: tuple[FindingReplay, ...]
    verdict: GateVerdict
    reasons: tuple[str, ...]

    def to_json(self) -> bytes:
        """Write the document that is stored."""
        return (self.model_dump_json(indent=1) + "\n").encode()
