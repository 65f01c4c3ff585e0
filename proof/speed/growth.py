"""Measure latency as requests and journal rows grow: ``python -m proof.speed.growth BUNDLE SVG``.

The table compares the last point of a line with its first one, at p50. The plot also shows p99.
"""

import argparse
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import psycopg2

from pleura.journal_row import JournalRow
from proof.lab.client import compute_quantile_ms, send_one_by_one
from proof.lab.running_stack import RunningStack
from proof.lab.stack import running_stack
from proof.speed.growth_plot import Line, Point, draw_growth
from proof.speed.lab import (
    Effort,
    PreparedRequests,
    SpeedLab,
    prepare_requests,
    print_progress,
    start_speed_lab,
)
from proof.speed.table import SpeedRow, print_table
from transformer.journal.database import Database
from transformer.journal.sql import insert_requests

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
"""Copies of one row of the stack under other names, with plausible sizes and index keys."""


@dataclass(frozen=True)
class _StackJournal:
    """The stack's journal, with the same database client as the transformer."""

    dsn: str
    database: Database

    @classmethod
    def open(cls, stack: RunningStack) -> "_StackJournal":
        return cls(stack.journal_dsn, Database(stack.journal_dsn))

    def fill_to(self, rows: int) -> None:
        """Fill the journal up to ``rows`` rows, then vacuum, so that little work remains."""
        with closing(psycopg2.connect(self.dsn)) as connection:
            # VACUUM cannot run in a transaction.
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute("SELECT count(*) FROM answers")
            row_count = cursor.fetchone()[0]
            cursor.execute(_FILL, (row_count + 1, rows))
            cursor.execute("VACUUM ANALYZE answers")

    def read_any_row(self) -> JournalRow:
        """Read one row of the journal."""
        columns = [field.name for field in fields(JournalRow)]
        names = ", ".join(f'"{name}"' for name in columns)
        with self.database.transaction(5.0) as cursor:
            cursor.execute(f"SELECT {names} FROM answers LIMIT 1")
            return JournalRow(**dict(zip(columns, cursor.fetchone(), strict=True)))

    def measure_inserts_ms(self, row: JournalRow) -> list[float]:
        """Measure the milliseconds of transactions that each insert one new row."""
        durations_ms = []
        for _ in range(_INSERTS):
            new_row = replace(row, request_id=str(uuid.uuid4()), answered_at=datetime.now(UTC))
            began_s = time.perf_counter()
            with self.database.transaction(5.0) as cursor:
                insert_requests(cursor, [[new_row]])
            durations_ms.append(1000 * (time.perf_counter() - began_s))
        return durations_ms


def _measure_point(lab: SpeedLab, stack: RunningStack, requests: Iterator[bytes], number: int) -> Point:
    replies = lab.run(send_one_by_one(stack.record.address, requests, number))
    return Point(number, compute_quantile_ms(replies, 0.5), compute_quantile_ms(replies, 0.99))


def _measure_by_requests(
    lab: SpeedLab, stack: RunningStack, prepared: PreparedRequests, name: str, first: int
) -> Line:
    """Let one client send x1, x10 and x100 requests."""
    requests = cycle(prepared.by_id)
    _measure_point(lab, stack, requests, len(prepared.by_id))  # warms up, and fills the cache if there is one
    points = []
    for times in _TIMES:
        print_progress(f"growth: {name}, {first * times} requests")
        points.append(_measure_point(lab, stack, requests, first * times))
    return Line(name, points)


def _measure_by_rows(
    lab: SpeedLab, stack: RunningStack, prepared: PreparedRequests, sizes: Sequence[int]
) -> list[Line]:
    """Measure the insert into the journal, and a cached answer, which includes such an insert."""
    journal, inserts, answers = _StackJournal.open(stack), list[Point](), list[Point]()
    requests = cycle(prepared.by_id)
    row = journal.read_any_row()
    for rows in sizes:
        print_progress(f"growth: {rows:,} rows")
        journal.fill_to(rows)
        journal.measure_inserts_ms(row)  # warms up
        durations_ms = sorted(journal.measure_inserts_ms(row))
        inserts.append(
            Point(rows, durations_ms[len(durations_ms) // 2], durations_ms[int(0.99 * len(durations_ms))])
        )
        answer = _measure_point(lab, stack, requests, _INSERTS)
        answers.append(replace(answer, size=rows))
    return [Line("insert into the journal", inserts), Line("cached answer, whole way", answers)]


def _judge_growth(line: Line, of: str) -> SpeedRow:
    first, last = line.points[0], line.points[-1]
    grown = last.p50_ms / first.p50_ms
    name = f"{line.name}, p50 at {last.size:,} {of} over {first.size:,}"
    figure, peer = f"{last.p50_ms:.2f} ms", f"{first.p50_ms:.2f} ms"
    return SpeedRow(name, figure, peer, f"{grown:.2f}x", f"<= {_FLAT}x", grown <= _FLAT)


def measure_growth(bundle: Path, first: int, largest: int, plot: Path) -> list[SpeedRow]:
    """Measure the growth over requests and over rows, and draw both."""
    sizes = [rows for rows in (10**3, 10**4, 10**5, 10**6) if rows <= largest]
    with start_speed_lab(bundle, Effort(rounds=1, seconds=1.0, radiographs=48)) as lab:
        with running_stack(bundle, "--no-cache", environment=lab.settings) as stack:
            prepared = prepare_requests(stack, lab.effort.radiographs)
            requests = [_measure_by_requests(lab, stack, prepared, "uncached", first)]
        with running_stack(bundle, environment=lab.settings) as stack:
            prepared = prepare_requests(stack, lab.effort.radiographs)
            requests.append(_measure_by_requests(lab, stack, prepared, "from the cache", 10 * first))
            rows = _measure_by_rows(lab, stack, prepared, sizes)
    draw_growth({"requests, one client": requests, "rows in the journal": rows}, plot)
    return [_judge_growth(line, "requests") for line in requests] + [
        _judge_growth(line, "rows") for line in rows
    ]


def main() -> int:
    """Measure, draw the plot, and print the table."""
    parser: Any = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("plot", type=Path, help="an .svg or .png file")
    parser.add_argument("--first", type=int, default=20, help="number of requests for x1")
    parser.add_argument("--largest", type=int, default=10**6, help="largest number of rows in the journal")
    arguments = parser.parse_args()
    rows = measure_growth(arguments.bundle.resolve(), arguments.first, arguments.largest, arguments.plot)
    return print_table("Growth", rows)


if __name__ == "__main__":
    sys.exit(main())
