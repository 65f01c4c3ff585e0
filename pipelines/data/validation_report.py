"""The report of a validation, as JSON and as a page. It names no patient."""

from typing import Literal

from pipelines.value import Value
from pleura.findings import FINDINGS

Severity = Literal["serious", "notable"]
ProblemKind = Literal[
    "damaged",
    "unreadable",
    "duplicate_across_splits",
    "duplicate_within_split",
    "contradictory_duplicates",
    "patient_in_two_splits",
    "licence_missing",
    "empty_split",
    "nothing_known",
    "one_sided",
    "prevalence",
    "too_few_to_compare",
    "shift",
]


class Problem(Value):
    """A kind of problem, how often it occurs, and a few examples by the first digits of their SHA-256."""

    kind: ProblemKind
    severity: Severity
    words: str
    count: int
    examples: tuple[str, ...] = ()


class ShiftFigure(Value):
    """The shift of one quantity from the reference. Only numbers have ``ks``."""

    quantity: str
    psi: float
    ks: float | None
    p: float
    severity: Severity | None


class SplitCounts(Value):
    """The counts of a split; per finding the radiographs that have it, lack it, and are unknown."""

    split: str
    radiographs: int
    patients: int
    findings: dict[str, tuple[int, int, int]]


class ValidationReport(Value):
    """The validation of a data set; ``dataset`` and ``reference`` are ``name@digest``."""

    dataset: str
    reference: str | None
    splits: tuple[SplitCounts, ...]
    problems: tuple[Problem, ...]
    shifts: tuple[ShiftFigure, ...]

    @property
    def serious(self) -> tuple[Problem, ...]:
        """The problems that stop a pipeline."""
        return tuple(problem for problem in self.problems if problem.severity == "serious")

    def to_json(self) -> str:
        """Write the report as JSON."""
        return self.model_dump_json(indent=1) + "\n"

    def to_markdown(self) -> str:
        """Write the report as a page in Markdown."""
        verdict = f"**{len(self.serious)} serious problems.**" if self.serious else "**No serious problem.**"
        parts = [
            f"# Validation of {self.dataset}",
            f"{verdict} Reference: {self.reference or 'none, so shifts were not measured'}.",
            _problem_table(self.problems),
            _shift_table(self.shifts),
            _count_table(self.splits),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"


def _table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _problem_table(problems: tuple[Problem, ...]) -> str:
    if not problems:
        return ""
    rows: list[tuple[object, ...]] = [
        (found.severity, found.words, found.count, ", ".join(found.examples)) for found in problems
    ]
    return "## Problems\n\n" + _table(("severity", "problem", "count", "examples"), rows)


def _shift_table(shifts: tuple[ShiftFigure, ...]) -> str:
    if not shifts:
        return ""
    rows: list[tuple[object, ...]] = [
        (
            shift.quantity,
            f"{shift.psi:.3f}",
            "" if shift.ks is None else f"{shift.ks:.3f}",
            f"{shift.p:.2g}",
            shift.severity or "",
        )
        for shift in shifts
    ]
    rule = "A shift is notable if PSI >= 0.1 and p < 0.01, and serious if PSI >= 0.25 and p < 0.001."
    return f"## Shift from the reference\n\n{rule}\n\n" + _table(
        ("quantity", "PSI", "KS", "p", "severity"), rows
    )


def _count_table(splits: tuple[SplitCounts, ...]) -> str:
    head = ("present / absent / unknown", *(counts.split for counts in splits))
    rows: list[tuple[object, ...]] = [
        ("radiographs", *(counts.radiographs for counts in splits)),
        ("patients", *(counts.patients for counts in splits)),
    ]
    for finding in FINDINGS:
        cells = (" / ".join(map(str, counts.findings[finding])) for counts in splits)
        rows.append((finding.replace("_", " "), *cells))
    return "## Contents\n\n" + _table(head, rows)
