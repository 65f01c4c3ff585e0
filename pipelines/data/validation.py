"""Judge a data set before it is used, and stop a pipeline that would use an unsound one."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipelines.data.checks import (
    check_duplicates,
    check_files,
    check_labels,
    check_licences,
    check_patients,
    check_strangers,
    problem,
)
from pipelines.data.inspection import inspect_all
from pipelines.data.labelled_radiographs import label_rows
from pipelines.data.manifest import SPLITS, Manifest, Record, Split
from pipelines.data.radiograph_cache import ReadFile
from pipelines.data.shift_checks import ShiftSample, shifts, uncompared
from pipelines.data.validation_report import Problem, SplitCounts, ValidationReport
from pleura.findings import FINDINGS

_MOST_OF_REFERENCE: Final = 2000
_SEED: Final = 1


class UnsoundDataset(Exception):
    """A data set has serious problems; ``report`` tells all of them."""

    def __init__(self, report: ValidationReport, problems: list[Problem]) -> None:
        told = "; ".join(f"{each.count} {each.words}" for each in problems)
        super().__init__(f"{report.dataset} may not be used: {told}")
        self.report = report


@dataclass(frozen=True)
class ShiftReference:
    """What a data set is compared with, usually the one that the champion was trained on."""

    manifest: Manifest
    read: ReadFile


def validate(manifest: Manifest, read: ReadFile, reference: ShiftReference | None = None) -> ValidationReport:
    """Look at every radiograph of a data set, and compare it with at most 2,000 of the reference.

    Raises:
        StoreUnavailable: The store does not answer: nothing is said about the data then.
    """
    sample = ShiftSample(manifest.records, inspect_all(manifest.records, read))
    problems = [
        *check_files(sample.records, sample.seen),
        *check_strangers(manifest.strangers, inspect_all(manifest.strangers, read)),
        *check_patients(sample.records),
        *check_duplicates(sample.records, sample.seen),
        *check_licences([*sample.records, *manifest.strangers]),
        *check_labels(manifest),
    ]
    figures = []
    if reference is not None:
        drawn = _drawn(reference.manifest)
        before = ShiftSample(drawn, inspect_all(drawn, reference.read))
        figures = shifts(before, sample)
        problems += _shift_problems(before, sample)
    return ValidationReport(
        dataset=_name(manifest),
        reference=None if reference is None else _name(reference.manifest),
        splits=tuple(_counts(manifest, split) for split in SPLITS),
        problems=tuple(sorted(problems, key=lambda each: each.severity != "serious")),
        shifts=tuple(figures),
    )


def require_sound(report: ValidationReport, accepted: Collection[str] = ()) -> None:
    """Let a data set pass if it has no serious problem but of kinds that somebody answers for.

    Args:
        report: Of ``validate``.
        accepted: Kinds of problem, as the report has them.

    Raises:
        UnsoundDataset: It has.
    """
    refused = [each for each in report.serious if each.kind not in accepted]
    if refused:
        raise UnsoundDataset(report, refused)


def _name(manifest: Manifest) -> str:
    return f"{manifest.name}@{manifest.digest}"


def _drawn(manifest: Manifest) -> list[Record]:
    """A part of the reference that is large enough; the same one every time."""
    records = sorted(manifest.records, key=lambda each: each.sha256)
    order = np.random.default_rng(_SEED).permutation(len(records))[:_MOST_OF_REFERENCE]
    return [records[place] for place in order]


def _shift_problems(before: ShiftSample, sample: ShiftSample) -> list[Problem]:
    figures = shifts(before, sample)
    serious = [each.quantity for each in figures if each.severity == "serious"]
    notable = [each.quantity for each in figures if each.severity == "notable"]
    return [
        *problem("shift", "serious", "quantities that are far from the reference", serious),
        *problem("shift", "notable", "quantities that have moved from the reference", notable),
        *problem(
            "too_few_to_compare",
            "notable",
            "quantities of which too little is known to compare them",
            uncompared(before, sample),
        ),
    ]


def _counts(manifest: Manifest, split: Split) -> SplitCounts:
    records = manifest.records_of_split(split)
    labels = label_rows(records)
    findings = {
        finding: (int((column == 1).sum()), int((column == 0).sum()), int(np.isnan(column).sum()))
        for finding, column in zip(FINDINGS, labels.T, strict=True)
    }
    return SplitCounts(
        split=split,
        radiographs=len(records),
        patients=len({each.patient for each in records}),
        findings=findings,
    )
