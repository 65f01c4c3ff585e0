"""What the journal holds of the requests that a campaign made."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import psycopg2

from proof.lab.known_radiographs import read_probabilities
from proof.lab.load import CallResult
from proof.lab.running_stack import RunningStack

_REPLAY_S: Final = 60.0


@dataclass(frozen=True)
class CampaignJournal:
    """What the journal holds once all is well again."""

    rows: Mapping[str, Sequence[tuple[str, Sequence[float]]]]
    disputed: int

    def count_lost(self, answers: Sequence[CallResult]) -> int:
        """Answers that have no row."""
        return sum(answer.is_ok and answer.request_id not in self.rows for answer in answers)

    @property
    def duplicates(self) -> int:
        """Rows too many."""
        return sum(len(rows) - 1 for rows in self.rows.values()) + self.disputed

    def count_differing(self, answers: Sequence[CallResult]) -> int:
        """Answers whose row says something else."""
        return sum(
            image_id != answer.image_id or max(abs(read_probabilities(answer.document) - values)) > 1e-6
            for answer in answers
            if answer.is_ok
            for image_id, values in self.rows.get(answer.request_id, ())
        )


def read_journal(stack: RunningStack, request_ids: Sequence[str]) -> CampaignJournal:
    """Read the rows of some requests."""
    connection = psycopg2.connect(stack.journal_dsn)
    rows: dict[str, list[tuple[str, Sequence[float]]]] = defaultdict(list)
    with closing(connection), connection.cursor() as cursor:
        statement = "SELECT request_id, image_id, probabilities FROM answers WHERE request_id = ANY(%s)"
        cursor.execute(statement, (list(request_ids),))
        for request_id, image_id, values in cursor.fetchall():
            rows[str(request_id)].append((image_id, values))
        statement = "SELECT count(*) FROM disputed_answers WHERE request_id = ANY(%s)"
        cursor.execute(statement, (list(request_ids),))
        (disputed,) = cursor.fetchone() or (0,)
    return CampaignJournal(rows, disputed)


async def read_complete_journal(stack: RunningStack, answers: Sequence[CallResult]) -> CampaignJournal:
    """Read the journal once it has all answers, or does not get them."""
    end_s, request_ids = time.monotonic() + _REPLAY_S, [answer.request_id for answer in answers]
    while True:
        journaled = await asyncio.to_thread(read_journal, stack, request_ids)
        if not journaled.count_lost(answers) or time.monotonic() > end_s:
            return journaled
        await asyncio.sleep(1.0)
