"""What a campaign says at its end: each claim, its bound, what was measured, whether it holds."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ClaimRow:
    """One claim of a campaign; ``holds`` is None where nothing is claimed."""

    claim: str
    bound: str
    measured: str
    holds: bool | None


def print_claims(title: str, rows: Sequence[ClaimRow]) -> int:
    """Print the table.

    Returns:
        The exit status: 0 where every claim holds, and there is one.
    """
    lines = [f"## {title}", "", "| claim | bound | measured | holds |", "|---|---:|---:|---|"]
    said = {True: "yes", False: "NO", None: "-"}
    lines += [f"| {r.claim} | {r.bound} | {r.measured} | {said[r.holds]} |" for r in rows]
    sys.stdout.write("\n".join([*lines, ""]) + "\n")
    claims = [row.holds for row in rows if row.holds is not None]
    return 0 if claims and all(claims) else 1
