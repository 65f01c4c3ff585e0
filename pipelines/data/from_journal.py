"""Build a data set from the journal: answered radiographs, with the verdicts of radiologists as labels.

The journal does not hold the patients, so a file gives a pseudonym for each image id. Without that file all
radiographs are for training: a patient could be in two splits. With the file, radiographs without a
pseudonym are left out: their patient could be in the test split.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from pipelines.data.manifest import Manifest, Record
from pipelines.data.patients import assign_split
from pipelines.data.store import DatasetStore
from pipelines.journal_reader import JournaledAnswer, Verdict, select_verdicts
from pleura.findings import FINDINGS
from pleura.object_bucket import ChangedObject, NoSuchObject

_READERS: Final = 8
ReadRadiograph = Callable[[str], bytes]


class NothingLabelled(Exception):
    """No answered radiograph can be used. The text counts the reasons."""


@dataclass(frozen=True)
class JournalRules:
    """The rules by which the journal becomes a data set.

    ``patients`` gives a pseudonym for each image id. With ``even_if_seen``, verdicts of readers who had seen
    the answer count too. Accuracy must not be measured by those, so all radiographs are for training then.
    """

    licence: str
    source: str = "journal"
    patients: Mapping[str, str] | None = None
    even_if_seen: bool = False


@dataclass(frozen=True)
class _JudgedRadiograph:
    """A radiograph with its image ids, newest first, and an answer with all verdicts in order of time."""

    digest: str
    image_ids: tuple[str, ...]
    answer: JournaledAnswer


def build_from_journal(
    store: DatasetStore,
    name: str,
    answers: Sequence[JournaledAnswer],
    read_radiograph: ReadRadiograph,
    rules: JournalRules,
) -> Manifest:
    """Copy the radiographs that have verdicts to the store, and describe them.

    The label of a finding comes from the latest verdict of each reader. If readers contradict each other, the
    label is unknown. A reader who cannot tell has no vote. ``made_from`` counts what was left out. The data
    set has the date of its newest verdict, so the same journal always gives the same data set.

    Args:
        store: Receives the radiographs. ``store.put`` then keeps the result.
        name: The name of the data set.
        answers: The answers with their verdicts, from ``read_answers``.
        read_radiograph: Reads the file of an image id, and raises NoSuchObject if there is none.
        rules: See ``JournalRules``.

    Raises:
        NothingLabelled: No radiograph is left.
        StoreUnavailable: A store does not answer. Radiographs that were copied are not copied again.
    """
    counts: Counter[str] = Counter()
    radiographs = _group_by_radiograph(answers)
    with ThreadPoolExecutor(_READERS) as pool:
        results = pool.map(lambda one: _build_record(one, store, read_radiograph, rules), radiographs)
        records = []
        for record, counted in results:
            counts.update(counted)
            records += [] if record is None else [record]
    summary = _summarise(len(radiographs), counts, rules)
    if not records:
        raise NothingLabelled(summary)
    made_at = max(verdict.given_at for one in radiographs for verdict in one.answer.verdicts)
    records.sort(key=lambda record: record.key)
    return Manifest(
        name=name, bucket=store.bucket, made_from=(summary,), made_at=made_at, records=tuple(records)
    )


def combine_verdicts(verdicts: Sequence[Verdict]) -> bool | None:
    """Combine the latest verdicts of readers on a finding; None if nobody can tell, or they contradict."""
    opinions = {verdict.present for verdict in verdicts if verdict.present is not None}
    return opinions.pop() if len(opinions) == 1 else None


def _group_by_radiograph(answers: Sequence[JournaledAnswer]) -> list[_JudgedRadiograph]:
    """Group the verdicts by radiograph: one radiograph may have several answers with verdicts."""
    grouped: dict[str, list[JournaledAnswer]] = defaultdict(list)
    for answer in answers:
        grouped[answer.image_digest].append(answer)
    radiographs = []
    for digest, same in sorted(grouped.items()):
        # Over all answers: a reader who saw one answer on this radiograph is not blind to it in another.
        verdicts = sorted(
            (verdict for answer in same for verdict in answer.verdicts), key=lambda verdict: verdict.given_at
        )
        newest_first = sorted(same, key=lambda answer: answer.answered_at, reverse=True)
        ids = dict.fromkeys(answer.image_id for answer in newest_first if answer.image_id is not None)
        if verdicts:
            radiographs.append(
                _JudgedRadiograph(digest, tuple(ids), replace(same[0], verdicts=tuple(verdicts)))
            )
    return radiographs


def _build_record(
    radiograph: _JudgedRadiograph, store: DatasetStore, read_radiograph: ReadRadiograph, rules: JournalRules
) -> tuple[Record | None, Counter[str]]:
    """Build the record of a radiograph, or None if it cannot be used, and count the reasons."""
    labels, counts = _combine_labels(radiograph.answer, rules.even_if_seen)
    if not labels:
        return None, counts + Counter(["without a known finding"])
    patient = _find_patient(radiograph, rules.patients)
    if patient is None:
        return None, counts + Counter(["without one patient"])
    file = _read_file(radiograph, read_radiograph)
    if file is None:
        return None, counts + Counter(["no longer kept as it was answered"])
    is_tested = rules.patients is not None and not rules.even_if_seen
    record = Record(
        key=store.add(file),
        sha256=radiograph.digest,
        patient=patient,
        source=rules.source,
        licence=rules.licence,
        split=assign_split(patient) if is_tested else "train",
        labels=labels,
    )
    return record, counts


def _combine_labels(answer: JournaledAnswer, even_if_seen: bool) -> tuple[dict[str, bool], Counter[str]]:
    selected = select_verdicts(answer, even_if_seen=even_if_seen)
    labels, counts = {}, Counter[str]()
    if not even_if_seen:
        counts["verdicts after seeing the answer"] = sum(
            verdict.had_seen_answer for verdict in answer.verdicts
        )
    for finding in FINDINGS:
        of_finding = [verdict for verdict in selected if verdict.finding == finding]
        label = combine_verdicts(of_finding)
        if label is not None:
            labels[finding] = label
        elif any(verdict.present is not None for verdict in of_finding):
            counts["findings that readers contradict each other on"] += 1
    return labels, counts


def _find_patient(radiograph: _JudgedRadiograph, patients: Mapping[str, str] | None) -> str | None:
    if patients is None:
        return f"unknown-{radiograph.digest[:16]}"
    pseudonyms = {patients[image_id] for image_id in radiograph.image_ids if image_id in patients}
    return pseudonyms.pop() if len(pseudonyms) == 1 else None


def _read_file(radiograph: _JudgedRadiograph, read_radiograph: ReadRadiograph) -> bytes | None:
    """Read the file that was answered, if the store still has it under one of its image ids."""
    for image_id in radiograph.image_ids:
        try:
            file = read_radiograph(image_id)
        except (NoSuchObject, ChangedObject):
            continue
        # Another file may lie under this id since the answer.
        if hashlib.sha256(file).hexdigest() == radiograph.digest:
            return file
    return None


def _summarise(radiographs: int, counts: Counter[str], rules: JournalRules) -> str:
    left_out = "; ".join(f"{count} {words}" for words, count in sorted(counts.items()) if count)
    seen = "counted, for training only" if rules.even_if_seen else "left out"
    patients = "unknown, for training only" if rules.patients is None else "by pseudonym"
    return (
        f"the journal: {radiographs} radiographs with verdicts; "
        f"left out or unknown: {left_out or 'nothing'}; verdicts after seeing the answer {seen}; "
        f"patients {patients}"
    )
