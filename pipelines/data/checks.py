"""What can be wrong with a data set by itself: each check gives the problems that it finds."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from scipy.stats import chi2_contingency

from pipelines.data.inspection import Inspection, InspectionFailure
from pipelines.data.labelled_radiographs import label_rows
from pipelines.data.manifest import SPLITS, DatasetFile, Manifest, NonChestImage, Record, Split
from pipelines.data.near_duplicates import Duplicate, duplicates
from pipelines.data.validation_report import Problem, ProblemKind, Severity
from pleura.findings import FINDINGS

_EXAMPLES: Final = 5
_UNLIKELY: Final = 0.001


def problem(kind: ProblemKind, severity: Severity, words: str, found: Iterable[str]) -> list[Problem]:
    """One problem, or none if nothing was found."""
    examples = list(found)
    if not examples:
        return []
    return [
        Problem(
            kind=kind,
            severity=severity,
            words=words,
            count=len(examples),
            examples=tuple(examples[:_EXAMPLES]),
        )
    ]


def short(*records: DatasetFile) -> str:
    """Radiographs as a report names them."""
    return " ~ ".join(record.sha256[:12] for record in records)


def check_files(
    records: Sequence[DatasetFile], seen: Sequence[Inspection | InspectionFailure]
) -> list[Problem]:
    """Files that are not there, are not what they were, or are no radiographs."""
    blind = [(r, s) for r, s in zip(records, seen, strict=True) if isinstance(s, InspectionFailure)]
    damaged = [short(record) for record, look in blind if look.is_damaged]
    unreadable = [short(record) for record, look in blind if not look.is_damaged]
    return [
        *problem("damaged", "serious", "files that are missing, or not those of the manifest", damaged),
        *problem("unreadable", "serious", "files that cannot be read as a radiograph", unreadable),
    ]


def check_strangers(
    strangers: Sequence[NonChestImage], seen: Sequence[Inspection | InspectionFailure]
) -> list[Problem]:
    """Files that are not there, or not what they were; what cannot be read is refused anyway."""
    blind = [
        (s, look) for s, look in zip(strangers, seen, strict=True) if isinstance(look, InspectionFailure)
    ]
    damaged = [short(stranger) for stranger, look in blind if look.is_damaged]
    words = "files of other things than chests that are missing, or not those of the manifest"
    return problem("damaged", "serious", words, damaged)


def check_duplicates(
    records: Sequence[Record], seen: Sequence[Inspection | InspectionFailure]
) -> list[Problem]:
    """Radiographs that show the same exposure: one in two splits is judged by what was learnt from it."""
    pairs = [(r, s) for r, s in zip(records, seen, strict=True) if isinstance(s, Inspection)]
    found = duplicates([look.fingerprint for _, look in pairs])
    problems = []
    for exact, word in ((True, "equal"), (False, "nearly equal")):
        across, within = [], []
        for each in (each for each in found if each.exact == exact):
            one, other = _pair(pairs, each)
            if one.split != other.split:
                across.append(short(one, other))
            elif (
                exact or one.patient != other.patient
            ):  # alike follow-ups of one patient are as they should be
                within.append(short(one, other))
        problems += problem(
            "duplicate_across_splits", "serious", f"pairs of {word} radiographs in two splits", across
        )
        problems += problem(
            "duplicate_within_split", "notable", f"pairs of {word} radiographs in one split", within
        )
    disputed = [
        short(*pair) for pair in (_pair(pairs, each) for each in found if each.exact) if _differ(*pair)
    ]
    words = "pairs of equal radiographs of which one has a finding and the other has it not"
    return [*problems, *problem("contradictory_duplicates", "serious", words, disputed)]


def _pair(pairs: Sequence[tuple[Record, Inspection]], each: Duplicate) -> tuple[Record, Record]:
    return pairs[each.first][0], pairs[each.second][0]


def _differ(one: Record, other: Record) -> bool:
    return any(one.labels[f] != other.labels[f] for f in set(one.labels) & set(other.labels))


def check_patients(records: Sequence[Record]) -> list[Problem]:
    """Patients in more than one split, told by a radiograph of theirs in each."""
    first_in: dict[str, dict[str, Record]] = defaultdict(dict)
    for record in records:
        first_in[record.patient].setdefault(record.split, record)
    split_up = [short(*by_split.values()) for by_split in first_in.values() if len(by_split) > 1]
    return problem(
        "patient_in_two_splits", "serious", "patients with radiographs in more than one split", split_up
    )


def check_licences(records: Sequence[Record | NonChestImage]) -> list[Problem]:
    """Radiographs of which nobody said that they may be used."""
    without = [short(record) for record in records if not record.licence.strip()]
    return problem("licence_missing", "serious", "radiographs without a licence", without)


def check_labels(manifest: Manifest) -> list[Problem]:
    """Splits and findings of which there is too little, and prevalences that differ between splits."""
    problems: list[Problem] = []
    without = [short(record) for record in manifest.records if not record.labels]
    problems += problem("nothing_known", "notable", "radiographs of which no finding is known", without)
    tables = {split: label_rows(manifest.records_of_split(split)) for split in SPLITS}
    empty = [split for split in SPLITS if not len(tables[split])]
    problems += problem("empty_split", "serious", "splits without a radiograph", empty)
    for split in SPLITS:
        problems += _one_sided(split, tables[split])
    return [*problems, *_prevalences(tables)]


def _one_sided(split: str, labels: np.ndarray) -> list[Problem]:
    if not len(labels):
        return []
    if np.isnan(labels).all():
        return problem("nothing_known", "serious", "splits of which no label is known", [split])
    never = [f for f, column in zip(FINDINGS, labels.T, strict=True) if not (column == 1).any()]
    always = [f for f, column in zip(FINDINGS, labels.T, strict=True) if not (column == 0).any()]
    return [
        *problem("one_sided", "notable", f"findings that no radiograph of {split} is known to have", never),
        *problem("one_sided", "notable", f"findings that no radiograph of {split} is known to lack", always),
    ]


def _prevalences(tables: Mapping[Split, np.ndarray]) -> list[Problem]:
    unequal = []
    for index, finding in enumerate(FINDINGS):
        counts = [[np.sum(t[:, index] == 1), np.sum(t[:, index] == 0)] for t in tables.values()]
        p = chance(np.array([row for row in counts if sum(row)]))
        if p < _UNLIKELY:
            unequal.append(finding)
    words = f"findings whose prevalence differs between splits more than chance allows (p < {_UNLIKELY})"
    return problem("prevalence", "notable", words, unequal)


def chance(counts: np.ndarray) -> float:
    """How likely rows of counts differ so much if they do not differ at all (chi-squared test)."""
    filled = counts[:, counts.sum(axis=0) > 0] if len(counts) else counts
    if filled.ndim < 2 or min(filled.shape) < 2:
        return 1.0
    return float(chi2_contingency(filled).pvalue)
