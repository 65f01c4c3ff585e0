"""Whether latency stays flat as requests and journal rows grow: ``python -m proof.speed.growth BUNDLE SVG``.

What is compared is the first point of a line with its last one, at p50; the plot shows p99 too.
"""

import argparse
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import psycopg2

from pleura.journal_row import JournalRow
from proof.lab.client import compute_quantile_ms, send_one_by_one
from proof.lab.running_stack import RunningStack
from proof.lab.stack import running_stack
from proof.speed.growth_plot import Line, Point, draw
from proof.speed.lab import Effort, PreparedRequests, SpeedLab, prepare, print_progress, speed_lab
from proof.speed.table import SpeedRow, print_table
from transformer.journal.database import Database
from transformer.journal.sql import COLUMNS, insert_requests

_FLAT: Final = 1.25
_TIMES: Final = (1, 10, 100)
_INSERTS: Final = 500
_FILL: Final = """
    INSERT INTO answers
    SELECT 'principal-' || n %% 50, gen_random_uuid()::text, 0, 'filled/' || n || '.png',
        md5(n::text) || md5((-n)::text), model_name, model_version, model_digest, preprocessing_version,
        probabilities, thresholds, findings, typicality, latency_ms, n %% 3 = 0,
        now() - n * interval '1 second'
    FROM (SELECT * FROM answers LIMIT 1) AS one, generate_series(%s, %s) AS n
"""
"""A row of the stack's own, under other names: plausible in its size and in what its indexes hold."""


@dataclass(frozen=True)
class _Journal:
    """The stack's journal, reached as the transformer reaches it."""

    dsn: str
    database: Database

    @classmethod
    def of(cls, stack: RunningStack) -> "_Journal":
        return cls(stack.journal_dsn, Database(stack.journal_dsn))

    def grow_to(self, rows: int) -> None:
        """Fill it up to so many rows, and let nothing of the filling be left to do."""
        with closing(psycopg2.connect(self.dsn)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute("SELECT count(*) FROM answers")
            there = cursor.fetchone()[0]
            cursor.execute(_FILL, (there + 1, rows))
            cursor.execute("VACUUM ANALYZE answers")
            cursor.execute("CHECKPOINT")

    def any_entry(self) -> JournalRow:
        """One of its rows."""
        names = ", ".join(f'"{name}"' for name in COLUMNS)
        with self.database.transaction(5.0) as cursor:
            cursor.execute(f"SELECT {names} FROM answers LIMIT 1")
            return JournalRow(**dict(zip(COLUMNS, cursor.fetchone(), strict=True)))

    def insert_ms(self, entry: JournalRow) -> list[float]:
        """Milliseconds of transactions that insert one new row each."""
        taken = []
        for _ in range(_INSERTS):
            new = replace(entry, request_id=str(uuid.uuid4()), answered_at=datetime.now(UTC))
            began_s = time.perf_counter()
            with self.database.transaction(5.0) as cursor:
                insert_requests(cursor, [[new]])
            taken.append(1000 * (time.perf_counter() - began_s))
        return taken


def _asked_ms(speed_lab: SpeedLab, stack: RunningStack, requests: Iterator[bytes], number: int) -> Point:
    replies = speed_lab.run(send_one_by_one(stack.record.address, requests, number))
    return Point(number, compute_quantile_ms(replies, 0.5), compute_quantile_ms(replies, 0.99))


def _by_requests(
    speed_lab: SpeedLab, stack: RunningStack, asked: PreparedRequests, name: str, first: int
) -> Line:
    """One client asks x1, x10 and x100 times."""
    requests = cycle(asked.by_id)
    _asked_ms(speed_lab, stack, requests, len(asked.by_id))  # warms, and fills the cache where there is one
    points = []
    for times in _TIMES:
        print_progress(f"growth: {name}, {first * times} requests")
        points.append(_asked_ms(speed_lab, stack, requests, first * times))
    return Line(name, points)


def _by_rows(
    speed_lab: SpeedLab, stack: RunningStack, asked: PreparedRequests, sizes: Sequence[int]
) -> list[Line]:
    """The journal's own insert, and an answer from the cache, which has one in it."""
    journal, inserts, answers = _Journal.of(stack), list[Point](), list[Point]()
    requests = cycle(asked.by_id)
    entry = journal.any_entry()
    for rows in sizes:
        print_progress(f"growth: {rows:,} rows")
        journal.grow_to(rows)
        journal.insert_ms(entry)  # warms
        taken = sorted(journal.insert_ms(entry))
        inserts.append(Point(rows, taken[len(taken) // 2], taken[int(0.99 * len(taken))]))
        answer = _asked_ms(speed_lab, stack, requests, _INSERTS)
        answers.append(replace(answer, size=rows))
    return [Line("insert into the journal", inserts), Line("cached answer, whole way", answers)]


def _flatness(line: Line, of: str) -> SpeedRow:
    first, last = line.points[0], line.points[-1]
    grown = last.p50_ms / first.p50_ms
    what = f"{line.name}, p50 at {last.size:,} {of} over {first.size:,}"
    figure, peer = f"{last.p50_ms:.2f} ms", f"{first.p50_ms:.2f} ms"
    return SpeedRow(what, figure, peer, f"{grown:.2f}x", f"<= {_FLAT}x", grown <= _FLAT)


def measure(bundle: Path, first: int, largest: int, plot: Path) -> list[SpeedRow]:
    """Measure both growths, and draw them."""
    sizes = [rows for rows in (10**3, 10**4, 10**5, 10**6) if rows <= largest]
    with speed_lab(bundle, Effort(rounds=1, seconds=1.0, radiographs=48)) as here:
        with running_stack(bundle, "--no-cache", environment=here.settings) as stack:
            asked = prepare(stack, here.effort.radiographs)
            requests = [_by_requests(here, stack, asked, "read anew", first)]
        with running_stack(bundle, environment=here.settings) as stack:
            asked = prepare(stack, here.effort.radiographs)
            requests.append(_by_requests(here, stack, asked, "from the cache", 10 * first))
            rows = _by_rows(here, stack, asked, sizes)
    draw({"requests, one client": requests, "rows in the journal": rows}, plot)
    return [_flatness(line, "requests") for line in requests] + [_flatness(line, "rows") for line in rows]


def main() -> int:
    """Measure, draw, and print the table."""
    parser: Any = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("plot", type=Path, help="an .svg or .png file")
    parser.add_argument("--first", type=int, default=20, help="requests that count as x1")
    parser.add_argument("--largest", type=int, default=10**6, help="rows that the journal grows to")
    arguments = parser.parse_args()
    rows = measure(arguments.bundle.resolve(), arguments.first, arguments.largest, arguments.plot)
    return print_table("Growth", rows)


if __name__ == "__main__":
    sys.exit(main())
