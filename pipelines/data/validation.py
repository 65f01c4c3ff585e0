"""Validate a data set before its use, and stop a pipeline that uses an unsound data set."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipelines.data.checks import (
    check_duplicates,
    check_files,
    check_labels,
    check_licences,
    check_non_chest_images,
    check_patients,
    make_problem,
)
from pipelines.data.inspection import inspect_all
from pipelines.data.labelled_radiographs import label_rows
from pipelines.data.manifest import SPLITS, Manifest, Record, Split
from pipelines.data.radiograph_cache import ReadFile
from pipelines.data.shift_checks import ShiftSample, find_uncompared, measure_shifts
from pipelines.data.validation_report import Problem, SplitCounts, ValidationReport
from pleura.findings import FINDINGS

_MOST_OF_REFERENCE: Final = 2000
_SEED: Final = 1


class UnsoundDataset(Exception):
    """A data set has serious problems. ``report`` lists all problems."""

    def __init__(self, report: ValidationReport, problems: list[Problem]) -> None:
        listed = "; ".join(f"{found.count} {found.words}" for found in problems)
        super().__init__(f"{report.dataset} must not be used: {listed}")
        self.report = report


@dataclass(frozen=True)
class ShiftReference:
    """The data set to compare with, usually that of the champion."""

    manifest: Manifest
    read_file: ReadFile


def validate(
    manifest: Manifest, read_file: ReadFile, reference: ShiftReference | None = None
) -> ValidationReport:
    """Inspect every radiograph of a data set, and compare them with at most 2,000 of the reference.

    Raises:
        StoreUnavailable: The store does not answer, which says nothing about the data.
    """
    sample = ShiftSample(manifest.records, inspect_all(manifest.records, read_file))
    problems = [
        *check_files(sample.records, sample.inspected),
        *check_non_chest_images(manifest.strangers, inspect_all(manifest.strangers, read_file)),
        *check_patients(sample.records),
        *check_duplicates(sample.records, sample.inspected),
        *check_licences([*sample.records, *manifest.strangers]),
        *check_labels(manifest),
    ]
    figures = []
    if reference is not None:
        drawn = _draw_sample(reference.manifest)
        before = ShiftSample(drawn, inspect_all(drawn, reference.read_file))
        figures = measure_shifts(before, sample)
        problems += _find_shift_problems(before, sample)
    return ValidationReport(
        dataset=_reference_name(manifest),
        reference=None if reference is None else _reference_name(reference.manifest),
        splits=tuple(_count_labels(manifest, split) for split in SPLITS),
        problems=tuple(sorted(problems, key=lambda found: found.severity != "serious")),
        shifts=tuple(figures),
    )


def require_sound(report: ValidationReport, accepted: Collection[str] = ()) -> None:
    """Require a data set without serious problems, except those of accepted kinds.

    Args:
        report: The report of ``validate``.
        accepted: The kinds of problem that somebody takes responsibility for.

    Raises:
        UnsoundDataset: The data set has other serious problems.
    """
    refused = [found for found in report.serious if found.kind not in accepted]
    if refused:
        raise UnsoundDataset(report, refused)


def _reference_name(manifest: Manifest) -> str:
    return f"{manifest.name}@{manifest.digest}"


def _draw_sample(manifest: Manifest) -> list[Record]:
    """Draw a sample of the reference that is large enough. It is the same at every call."""
    # In an order that does not depend on the manifest, so that the sample is the same each time.
    records = sorted(manifest.records, key=lambda record: record.sha256)
    order = np.random.default_rng(_SEED).permutation(len(records))[:_MOST_OF_REFERENCE]
    return [records[place] for place in order]


def _find_shift_problems(before: ShiftSample, sample: ShiftSample) -> list[Problem]:
    figures = measure_shifts(before, sample)
    serious = [figure.quantity for figure in figures if figure.severity == "serious"]
    notable = [figure.quantity for figure in figures if figure.severity == "notable"]
    return [
        *make_problem("shift", "serious", "quantities that differ strongly from the reference", serious),
        *make_problem("shift", "notable", "quantities that differ from the reference", notable),
        *make_problem(
            "too_few_to_compare",
            "notable",
            "quantities with too few known values to compare",
            find_uncompared(before, sample),
        ),
    ]


def _count_labels(manifest: Manifest, split: Split) -> SplitCounts:
    records = manifest.records_of_split(split)
    labels = label_rows(records)
    findings = {
        finding: (int((column == 1).sum()), int((column == 0).sum()), int(np.isnan(column).sum()))
        for finding, column in zip(FINDINGS, labels.T, strict=True)
    }
    return SplitCounts(
        split=split,
        radiographs=len(records),
        patients=len({record.patient for record in records}),
        findings=findings,
    )
