"""The progress of an audit: how many radiographs were read, and how the verdicts agree with the answers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.drift.audit_request import AuditRequest
from pipelines.drift.reference import Share
from pipelines.journal_reader import JournaledAnswer, Verdict, select_verdicts


@dataclass(frozen=True)
class FindingAgreement:
    """Blind verdicts on one finding: how often it is there where it was called present, and where absent."""

    finding: str
    called_present: Share
    called_absent: Share
    cannot_tell: int


@dataclass(frozen=True)
class AuditProgress:
    """The progress of an audit.

    Of ``asked`` radiographs, ``read`` have a blind verdict and ``unblinded`` have other verdicts only.
    """

    id: str
    asked: int
    read: int
    unblinded: int
    agreement: tuple[FindingAgreement, ...]

    @property
    def outstanding(self) -> int:
        """The number of radiographs without a blind verdict."""
        return self.asked - self.read

    @property
    def is_open(self) -> bool:
        """Whether a radiograph is outstanding."""
        return self.outstanding > 0


def measure_progress(request: AuditRequest, answers: Sequence[JournaledAnswer]) -> AuditProgress:
    """Count the verdicts on an audit's radiographs.

    Args:
        request: The audit request.
        answers: The answers of the request's window, with all verdicts up to now.
    """
    keys = {(item.principal, item.request_id, item.position) for item in request.items}
    audited = [answer for answer in answers if (answer.principal, answer.request_id, answer.position) in keys]
    blind = [(answer, select_verdicts(answer)) for answer in audited]
    read = sum(1 for _, verdicts in blind if verdicts)
    return AuditProgress(
        id=request.id,
        asked=len(request.items),
        read=read,
        unblinded=sum(1 for answer, verdicts in blind if answer.verdicts and not verdicts),
        agreement=_agreement([(answer, each) for answer, verdicts in blind for each in verdicts]),
    )


def _agreement(verdicts: Sequence[tuple[JournaledAnswer, Verdict]]) -> tuple[FindingAgreement, ...]:
    counts = Counter(
        (each.finding, each.finding in answer.findings, each.present) for answer, each in verdicts
    )
    return tuple(
        FindingAgreement(
            finding,
            _share(counts[finding, True, True], counts[finding, True, False]),
            _share(counts[finding, False, True], counts[finding, False, False]),
            counts[finding, True, None] + counts[finding, False, None],
        )
        for finding in sorted({each.finding for _, each in verdicts})
    )


def _share(present: int, absent: int) -> Share:
    return Share(hits=present, n=present + absent)
