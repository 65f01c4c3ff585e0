"""The checks of a data set on its own. Each check returns the problems that it finds."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from scipy.stats import chi2_contingency

from pipelines.data.inspection import Inspection, InspectionFailure
from pipelines.data.labelled_radiographs import label_rows
from pipelines.data.manifest import SPLITS, DatasetFile, Manifest, NonChestImage, Record, Split
from pipelines.data.near_duplicates import find_duplicates
from pipelines.data.validation_report import Problem, ProblemKind, Severity
from pleura.findings import FINDINGS

_MOST_EXAMPLES: Final = 5
_UNLIKELY: Final = 0.001


def make_problem(kind: ProblemKind, severity: Severity, words: str, found: Iterable[str]) -> list[Problem]:
    """Make a problem of what was found, or nothing of an empty list."""
    examples = list(found)
    if not examples:
        return []
    return [
        Problem(
            kind=kind,
            severity=severity,
            words=words,
            count=len(examples),
            examples=tuple(examples[:_MOST_EXAMPLES]),
        )
    ]


def short_digests(*records: DatasetFile) -> str:
    """Name files as a report does: by the first twelve digits of their digests."""
    return " ~ ".join(record.sha256[:12] for record in records)


def check_files(
    records: Sequence[Record], inspected: Sequence[Inspection | InspectionFailure]
) -> list[Problem]:
    """Find files that are missing, changed, or not readable as a radiograph."""
    failed = [(r, i) for r, i in zip(records, inspected, strict=True) if isinstance(i, InspectionFailure)]
    damaged = [short_digests(record) for record, failure in failed if failure.is_damaged]
    unreadable = [short_digests(record) for record, failure in failed if not failure.is_damaged]
    return [
        *make_problem("damaged", "serious", "files that are missing or changed", damaged),
        *make_problem("unreadable", "serious", "files that are not readable as a radiograph", unreadable),
    ]


def check_non_chest_images(
    images: Sequence[NonChestImage], inspected: Sequence[Inspection | InspectionFailure]
) -> list[Problem]:
    """Find images that are missing or changed. An unreadable image is no problem: models refuse it anyway."""
    failed = [
        (image, i) for image, i in zip(images, inspected, strict=True) if isinstance(i, InspectionFailure)
    ]
    damaged = [short_digests(image) for image, failure in failed if failure.is_damaged]
    return make_problem(
        "damaged", "serious", "images of other things than chests, missing or changed", damaged
    )


def check_duplicates(
    records: Sequence[Record], inspected: Sequence[Inspection | InspectionFailure]
) -> list[Problem]:
    """Find radiographs that show the same exposure, which leak from the training into the test split."""
    readable = [(r, i) for r, i in zip(records, inspected, strict=True) if isinstance(i, Inspection)]
    found = find_duplicates([inspection.fingerprint for _, inspection in readable])
    pairs = [(duplicate, readable[duplicate.first][0], readable[duplicate.second][0]) for duplicate in found]
    problems = []
    for is_exact, word in ((True, "equal"), (False, "nearly equal")):
        across, within = [], []
        for one, other in ((one, other) for duplicate, one, other in pairs if duplicate.exact == is_exact):
            if one.split != other.split:
                across.append(short_digests(one, other))
            elif is_exact or one.patient != other.patient:  # a patient's follow-ups may look alike
                within.append(short_digests(one, other))
        problems += make_problem(
            "duplicate_across_splits", "serious", f"pairs of {word} radiographs in two splits", across
        )
        problems += make_problem(
            "duplicate_within_split", "notable", f"pairs of {word} radiographs in one split", within
        )
    contradictory = [
        short_digests(one, other)
        for duplicate, one, other in pairs
        if duplicate.exact and _have_different_labels(one, other)
    ]
    words = "pairs of equal radiographs with different labels of a finding"
    return [*problems, *make_problem("contradictory_duplicates", "serious", words, contradictory)]


def _have_different_labels(one: Record, other: Record) -> bool:
    return any(one.labels[f] != other.labels[f] for f in set(one.labels) & set(other.labels))


def check_patients(records: Sequence[Record]) -> list[Problem]:
    """Find patients in more than one split, and name a radiograph of theirs in each."""
    first_in: dict[str, dict[str, Record]] = defaultdict(dict)
    for record in records:
        first_in[record.patient].setdefault(record.split, record)
    patients = [short_digests(*by_split.values()) for by_split in first_in.values() if len(by_split) > 1]
    return make_problem(
        "patient_in_two_splits", "serious", "patients with radiographs in more than one split", patients
    )


def check_licences(records: Sequence[Record | NonChestImage]) -> list[Problem]:
    """Find radiographs without a licence."""
    without = [short_digests(record) for record in records if not record.licence.strip()]
    return make_problem("licence_missing", "serious", "radiographs without a licence", without)


def check_labels(manifest: Manifest) -> list[Problem]:
    """Find splits and findings with too few labels, and prevalences that differ between splits."""
    problems: list[Problem] = []
    without = [short_digests(record) for record in manifest.records if not record.labels]
    problems += make_problem("nothing_known", "notable", "radiographs without a known finding", without)
    tables = {split: label_rows(manifest.records_of_split(split)) for split in SPLITS}
    empty = [split for split in SPLITS if not len(tables[split])]
    problems += make_problem("empty_split", "serious", "splits without a radiograph", empty)
    for split in SPLITS:
        problems += _find_one_sided(split, tables[split])
    return [*problems, *_compare_prevalences(tables)]


def _find_one_sided(split: str, labels: np.ndarray) -> list[Problem]:
    if not len(labels):
        return []
    if np.isnan(labels).all():
        return make_problem("nothing_known", "serious", "splits without a known label", [split])
    never = [f for f, column in zip(FINDINGS, labels.T, strict=True) if not (column == 1).any()]
    always = [f for f, column in zip(FINDINGS, labels.T, strict=True) if not (column == 0).any()]
    return [
        *make_problem("one_sided", "notable", f"findings without a positive radiograph in {split}", never),
        *make_problem("one_sided", "notable", f"findings without a negative radiograph in {split}", always),
    ]


def _compare_prevalences(tables: Mapping[Split, np.ndarray]) -> list[Problem]:
    unequal = []
    for index, finding in enumerate(FINDINGS):
        counts = [[np.sum(t[:, index] == 1), np.sum(t[:, index] == 0)] for t in tables.values()]
        p = chi_squared_p(np.array([row for row in counts if sum(row)]))
        if p < _UNLIKELY:
            unequal.append(finding)
    words = f"findings whose prevalence differs between the splits (chi-squared test, p < {_UNLIKELY})"
    return make_problem("prevalence", "notable", words, unequal)


def chi_squared_p(counts: np.ndarray) -> float:
    """Compute the p-value of a chi-squared test that rows of counts come from one distribution."""
    # scipy refuses a table with an empty column.
    filled = counts[:, counts.sum(axis=0) > 0] if len(counts) else counts
    if filled.ndim < 2 or min(filled.shape) < 2:
        return 1.0
    return float(chi2_contingency(filled).pvalue)
