"""What has come back on an audit request: what was read, and how it compares with the answers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.drift.audit_request import AuditRequest
from pipelines.drift.reference import Share
from pipelines.journal_reader import JournaledAnswer, Verdict, select_verdicts


@dataclass(frozen=True)
class FindingAgreement:
    """Blind verdicts on one finding: of those called present, and of those called absent, who has it."""

    finding: str
    called_present: Share
    called_absent: Share
    cannot_tell: int


@dataclass(frozen=True)
class AuditProgress:
    """How far an audit is: ``read`` have a blind verdict, ``unblinded`` only others."""

    id: str
    asked: int
    read: int
    unblinded: int
    agreement: tuple[FindingAgreement, ...]

    @property
    def outstanding(self) -> int:
        """How many are still to be read blind."""
        return self.asked - self.read

    @property
    def is_open(self) -> bool:
        """Whether any is."""
        return self.outstanding > 0


def measure_progress(request: AuditRequest, answers: Sequence[JournaledAnswer]) -> AuditProgress:
    """Count what has come back.

    Args:
        request: What was asked for.
        answers: The answers of its window, with all verdicts that there are by now.
    """
    keys = {(item.principal, item.request_id, item.position) for item in request.items}
    asked = [answer for answer in answers if (answer.principal, answer.request_id, answer.position) in keys]
    blind = [(answer, select_verdicts(answer)) for answer in asked]
    read = sum(1 for _, verdicts in blind if verdicts)
    return AuditProgress(
        id=request.id,
        asked=len(request.items),
        read=read,
        unblinded=sum(1 for answer, verdicts in blind if answer.verdicts and not verdicts),
        agreement=_agreement([(answer, each) for answer, verdicts in blind for each in verdicts]),
    )


def _agreement(said: Sequence[tuple[JournaledAnswer, Verdict]]) -> tuple[FindingAgreement, ...]:
    counts = Counter((each.finding, each.finding in answer.findings, each.present) for answer, each in said)
    return tuple(
        FindingAgreement(
            finding,
            _share(counts[finding, True, True], counts[finding, True, False]),
            _share(counts[finding, False, True], counts[finding, False, False]),
            counts[finding, True, None] + counts[finding, False, None],
        )
        for finding in sorted({each.finding for _, each in said})
    )


def _share(present: int, absent: int) -> Share:
    return Share(hits=present, n=present + absent)
