"""A data set from the journal: radiographs that were answered, with what radiologists said of them.

Who the patient is, the journal does not know; who does, gives a pseudonym for each image id. Without, a
radiograph can only be trained on: nothing shows that its patient is not in another split as well. Where some
have a pseudonym, those that have none are left out, since their patient may be one that is tested on.
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
from pipelines.object_store import ChangedObject, NoSuchObject
from pleura.findings import FINDINGS

_READERS: Final = 8
ReadRadiograph = Callable[[str], bytes]


class NothingLabelled(Exception):
    """No answered radiograph can be taken; the text counts why."""


@dataclass(frozen=True)
class JournalRules:
    """How the journal becomes a data set.

    ``patients`` gives a pseudonym for each image id. With ``even_if_seen``, verdicts given after seeing the
    answer count too; since accuracy must not be measured by them, all radiographs are for training then.
    """

    licence: str
    source: str = "journal"
    patients: Mapping[str, str] | None = None
    even_if_seen: bool = False


@dataclass(frozen=True)
class _Answered:
    """A radiograph with all that was said of it: image ids, newest first, and verdicts by time."""

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
    """Copy the radiographs that have verdicts to the store, and say what they are.

    The label of a finding is what the latest verdict of each reader says; where readers contradict each
    other it is unknown, and a reader who cannot tell has no vote. ``made_from`` counts what was left out. The
    data set is dated by its newest verdict, so that the same journal gives the same data set.

    Args:
        store: Where to; keep the result with ``store.put``.
        name: Of the data set.
        answers: With their verdicts, as of ``read_answers``.
        read_radiograph: Gives the file of an image id, raising NoSuchObject if there is none.
        rules: See there.

    Raises:
        NothingLabelled: No radiograph is left.
        StoreUnavailable: A store does not answer. What was copied is kept, and not copied again.
    """
    counts: Counter[str] = Counter()
    radiographs = _by_content(answers)
    with ThreadPoolExecutor(_READERS) as pool:
        made = pool.map(lambda each: _record(each, store, read_radiograph, rules), radiographs)
        records = []
        for record, told in made:
            counts.update(told)
            records += [] if record is None else [record]
    summary = _summary(len(radiographs), counts, rules)
    if not records:
        raise NothingLabelled(summary)
    made_at = max(verdict.given_at for each in radiographs for verdict in each.answer.verdicts)
    records.sort(key=lambda each: each.key)
    return Manifest(
        name=name, bucket=store.bucket, made_from=(summary,), made_at=made_at, records=tuple(records)
    )


def label_of(verdicts: Sequence[Verdict]) -> bool | None:
    """What the last words of several readers on one finding come to; None if nothing, or a contradiction."""
    said = {verdict.present for verdict in verdicts if verdict.present is not None}
    return said.pop() if len(said) == 1 else None


def _by_content(answers: Sequence[JournaledAnswer]) -> list[_Answered]:
    """The radiographs on which there are verdicts: one may have been answered, and judged, several times."""
    grouped: dict[str, list[JournaledAnswer]] = defaultdict(list)
    for answer in answers:
        grouped[answer.image_digest].append(answer)
    radiographs = []
    for digest, same in sorted(grouped.items()):
        verdicts = sorted((v for each in same for v in each.verdicts), key=lambda v: v.given_at)
        newest_first = sorted(same, key=lambda each: each.answered_at, reverse=True)
        ids = dict.fromkeys(each.image_id for each in newest_first if each.image_id is not None)
        if verdicts:
            radiographs.append(_Answered(digest, tuple(ids), replace(same[0], verdicts=tuple(verdicts))))
    return radiographs


def _record(
    each: _Answered, store: DatasetStore, read_radiograph: ReadRadiograph, rules: JournalRules
) -> tuple[Record | None, Counter[str]]:
    """A radiograph's record if it can be taken, and what is to be counted of it."""
    labels, counts = _labels(each.answer, rules.even_if_seen)
    if not labels:
        return None, counts + Counter(["without a known finding"])
    patient = _patient(each, rules.patients)
    if patient is None:
        return None, counts + Counter(["without one patient"])
    file = _file(each, read_radiograph)
    if file is None:
        return None, counts + Counter(["no longer kept as it was answered"])
    is_tested = rules.patients is not None and not rules.even_if_seen
    record = Record(
        key=store.add(file),
        sha256=each.digest,
        patient=patient,
        source=rules.source,
        licence=rules.licence,
        split=assign_split(patient) if is_tested else "train",
        labels=labels,
    )
    return record, counts


def _labels(answer: JournaledAnswer, even_if_seen: bool) -> tuple[dict[str, bool], Counter[str]]:
    counting = select_verdicts(answer, even_if_seen=even_if_seen)
    labels, counts = {}, Counter[str]()
    if not even_if_seen:
        counts["verdicts after seeing the answer"] = sum(v.had_seen_answer for v in answer.verdicts)
    for finding in FINDINGS:
        of_finding = [verdict for verdict in counting if verdict.finding == finding]
        label = label_of(of_finding)
        if label is not None:
            labels[finding] = label
        elif any(verdict.present is not None for verdict in of_finding):
            counts["findings that readers contradict each other on"] += 1
    return labels, counts


def _patient(each: _Answered, patients: Mapping[str, str] | None) -> str | None:
    if patients is None:
        return f"unknown-{each.digest[:16]}"
    known = {patients[image_id] for image_id in each.image_ids if image_id in patients}
    return known.pop() if len(known) == 1 else None


def _file(each: _Answered, read_radiograph: ReadRadiograph) -> bytes | None:
    """The file that was answered, if it is still kept under one of its ids."""
    for image_id in each.image_ids:
        try:
            file = read_radiograph(image_id)
        except (NoSuchObject, ChangedObject):
            continue
        if hashlib.sha256(file).hexdigest() == each.digest:
            return file
    return None


def _summary(radiographs: int, counts: Counter[str], rules: JournalRules) -> str:
    left_out = "; ".join(f"{count} {words}" for words, count in sorted(counts.items()) if count)
    seen = "counted, for training only" if rules.even_if_seen else "left out"
    patients = "unknown, for training only" if rules.patients is None else "by pseudonym"
    return (
        f"the journal: {radiographs} radiographs with verdicts; "
        f"left out or unknown: {left_out or 'nothing'}; verdicts after seeing the answer {seen}; "
        f"patients {patients}"
    )
