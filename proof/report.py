"""What a campaign says at its end: each claim, its bound, what was measured, whether it holds."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One claim of a campaign."""

    claim: str
    bound: str
    measured: str
    holds: bool


def conclude(title: str, rows: Sequence[Row]) -> int:
    """Print the table.

    Returns:
        The exit status: 0 where every claim holds.
    """
    lines = [f"## {title}", "", "| claim | bound | measured | holds |", "|---|---:|---:|---|"]
    lines += [f"| {r.claim} | {r.bound} | {r.measured} | {'yes' if r.holds else 'NO'} |" for r in rows]
    sys.stdout.write("\n".join([*lines, ""]) + "\n")
    return 0 if rows and all(row.holds for row in rows) else 1
