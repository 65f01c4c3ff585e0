"""Read the journal, and compare its rows with the answers of a campaign."""

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

_REPLAY_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True)
class CampaignJournal:
    """The journal's rows for the requests of a campaign, by request id."""

    rows: Mapping[str, Sequence[tuple[str, Sequence[float]]]]
    disputed: int

    def count_lost(self, answers: Sequence[CallResult]) -> int:
        """Count answers that have no row."""
        return sum(answer.is_ok and answer.request_id not in self.rows for answer in answers)

    @property
    def duplicates(self) -> int:
        """Rows beyond the one row of each request."""
        return sum(len(rows) - 1 for rows in self.rows.values()) + self.disputed

    def count_differing(self, answers: Sequence[CallResult]) -> int:
        """Count rows that differ from their answer."""
        return sum(
            # The journal keeps float32, the answer has it in decimal digits.
            image_id != answer.image_id or max(abs(read_probabilities(answer.document) - values)) > 1e-6
            for answer in answers
            if answer.is_ok
            for image_id, values in self.rows.get(answer.request_id, ())
        )


def read_journal(stack: RunningStack, request_ids: Sequence[str]) -> CampaignJournal:
    """Read the rows of these requests."""
    connection = psycopg2.connect(stack.journal_dsn)
    rows: dict[str, list[tuple[str, Sequence[float]]]] = defaultdict(list)
    with closing(connection), connection.cursor() as cursor:
        statement = "SELECT request_id, image_id, probabilities FROM answers WHERE request_id = ANY(%s)"
        cursor.execute(statement, (list(request_ids),))
        for request_id, image_id, values in cursor.fetchall():
            rows[str(request_id)].append((image_id, values))
        # A second row for one request goes there, since the journal itself allows only one.
        statement = "SELECT count(*) FROM disputed_answers WHERE request_id = ANY(%s)"
        cursor.execute(statement, (list(request_ids),))
        (disputed,) = cursor.fetchone() or (0,)
    return CampaignJournal(rows, disputed)


async def read_complete_journal(stack: RunningStack, answers: Sequence[CallResult]) -> CampaignJournal:
    """Read the journal until it has a row for each answer, or a time limit has passed."""
    # docs/decisions/0009: answers of an outage are in the spool first, and reach the journal later.
    end_s, request_ids = time.monotonic() + _REPLAY_TIMEOUT_S, [answer.request_id for answer in answers]
    while True:
        journal = await asyncio.to_thread(read_journal, stack, request_ids)
        if not journal.count_lost(answers) or time.monotonic() > end_s:
            return journal
        await asyncio.sleep(1.0)
