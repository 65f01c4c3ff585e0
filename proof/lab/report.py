"""The report of a campaign: each claim, its bound, the measured value, and whether the claim holds."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ClaimRow:
    """One row of the report. ``holds`` is None for a value that is reported without a claim."""

    claim: str
    bound: str
    measured: str
    holds: bool | None


def print_claims(title: str, rows: Sequence[ClaimRow]) -> int:
    """Print the table of claims.

    Returns:
        The exit status: 0 if there is at least one claim, and every claim holds.
    """
    lines = [f"## {title}", "", "| claim | bound | measured | holds |", "|---|---:|---:|---|"]
    verdicts = {True: "yes", False: "NO", None: "-"}
    lines += [f"| {row.claim} | {row.bound} | {row.measured} | {verdicts[row.holds]} |" for row in rows]
    sys.stdout.write("\n".join([*lines, ""]) + "\n")
    results = [row.holds for row in rows if row.holds is not None]
    # A campaign without any claim has shown nothing.
    return 0 if results and all(results) else 1
