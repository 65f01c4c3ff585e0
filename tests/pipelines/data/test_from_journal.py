"""The verdicts of radiologists become a data set that claims no more than the verdicts."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.data.from_journal import JournalRules, NothingLabelled, build_from_journal, combine_verdicts
from pipelines.data.manifest import Manifest
from pipelines.data.patients import assign_split
from pipelines.data.store import DatasetStore
from pipelines.journal_reader import JournaledAnswer, Verdict
from pleura.findings import FINDINGS
from pleura.local.dependencies import Server
from pleura.object_bucket import NoSuchObject
from tests.support.pipelines.datasets import picture, store_of

_START = datetime(2026, 11, 1, tzinfo=UTC)
_PATIENTS = {"a.png": "p-17", "b.png": "p-18", "c.png": "p-19"}
Read = Callable[[str], bytes]


def _said(
    finding: str, present: bool | None, reader: str = "r1", hour: int = 1, seen: bool = False
) -> Verdict:
    return Verdict(finding, present, reader, seen, _START + timedelta(hours=hour))


def _answer(file: bytes, image_id: str | None, *verdicts: Verdict, request_id: str = "q") -> JournaledAnswer:
    return JournaledAnswer(
        principal="pacs",
        request_id=f"{request_id}-{image_id}",
        position=0,
        image_id=image_id,
        image_digest=hashlib.sha256(file).hexdigest(),
        model_name="chest-xray",
        model_version="1",
        model_digest="0" * 64,
        preprocessing_version="1",
        probabilities=(0.5,) * len(FINDINGS),
        thresholds=(0.5,) * len(FINDINGS),
        findings=FINDINGS,
        typicality=0.5,
        latency_ms={},
        cached=False,
        answered_at=_START,
        verdicts=verdicts,
    )


def _bucket(files: Mapping[str, bytes]) -> Read:
    """The radiographs that the store still holds."""

    def read(image_id: str) -> bytes:
        if image_id not in files:
            raise NoSuchObject(f"{image_id} is not stored")
        return files[image_id]

    return read


def _built(store: DatasetStore, answers: list[JournaledAnswer], **rules: object) -> Manifest:
    kept = {f"{name}.png": picture(seed) for seed, name in enumerate("abc")}
    given = JournalRules(**({"licence": "hospital", "patients": _PATIENTS} | rules))  # type: ignore[arg-type]  # as the test means them
    return build_from_journal(store, "ours", answers, _bucket(kept), given)


@pytest.fixture(scope="module")
def store(seaweed: Server) -> DatasetStore:
    """A store for the data sets."""
    return store_of(seaweed)


def test_verdicts_become_labels(store: DatasetStore) -> None:
    """Labels are present, absent or unknown. Files are copied by content. A second build gives the same."""
    answers = [
        _answer(picture(0), "a.png", _said("Edema", True), _said("Mass", False), _said("Hernia", None)),
        _answer(picture(1), "b.png"),
    ]
    manifest = _built(store, answers)
    (record,) = manifest.records
    assert record.labels == {"Mass": False, "Edema": True}
    assert (record.patient, record.licence, record.source) == ("p-17", "hospital", "journal")
    assert store.read(record) == picture(0)
    assert _built(store, answers[::-1]).digest == manifest.digest
    assert "a.png" not in manifest.to_json().decode()


def test_the_latest_verdict_of_each_reader_counts(store: DatasetStore) -> None:
    """A reader may change a verdict, also on another answer to the same radiograph."""
    first = _answer(picture(0), "a.png", _said("Edema", True, hour=1), request_id="q1")
    second = _answer(picture(0), "a.png", _said("Edema", False, hour=2), request_id="q2")
    (record,) = _built(store, [second, first]).records
    assert record.labels == {"Edema": False}


def test_readers_who_contradict_each_other_make_a_label_unknown(store: DatasetStore) -> None:
    """The summary counts the contradictions. A reader who cannot tell contradicts nobody."""
    verdicts = (
        _said("Edema", True, "r1"),
        _said("Edema", False, "r2"),
        _said("Mass", True, "r1"),
        _said("Mass", None, "r2"),
    )
    manifest = _built(store, [_answer(picture(0), "a.png", *verdicts)])
    assert manifest.records[0].labels == {"Mass": True}
    assert "1 findings that readers contradict each other on" in manifest.made_from[0]


def test_a_reader_who_has_seen_the_answer_has_no_vote(store: DatasetStore) -> None:
    """No later verdict of the reader counts, also on another answer. Earlier verdicts count."""
    blind, seen = _said("Edema", True, hour=1), _said("Edema", False, hour=2, seen=True)
    claimed = _said("Edema", False, hour=3)
    answers = [
        _answer(picture(0), "a.png", blind, seen, request_id="q1"),
        _answer(picture(0), "a.png", claimed, request_id="q2"),
        _answer(picture(1), "b.png", seen),
    ]
    manifest = _built(store, answers)
    assert [each.labels for each in manifest.records] == [{"Edema": True}]
    assert "2 verdicts after seeing the answer" in manifest.made_from[0]
    assert "1 without a known finding" in manifest.made_from[0]


def test_verdicts_after_seeing_the_answer_may_only_train(store: DatasetStore) -> None:
    """With even_if_seen such verdicts count, and every radiograph is for training."""
    tested = next(f"p-{n}" for n in range(99) if assign_split(f"p-{n}") == "test")
    answers = [_answer(picture(0), "a.png", _said("Edema", False, seen=True))]
    manifest = _built(store, answers, patients={"a.png": tested}, even_if_seen=True)
    assert [(each.labels, each.split) for each in manifest.records] == [({"Edema": False}, "train")]
    assert "counted, for training only" in manifest.made_from[0]


def test_without_patients_everything_is_for_training(store: DatasetStore) -> None:
    """A patient could be in two splits, so all radiographs are in one."""
    answers = [_answer(picture(n), f"{name}.png", _said("Edema", True)) for n, name in enumerate("abc")]
    manifest = _built(store, answers, patients=None)
    assert {each.split for each in manifest.records} == {"train"}
    assert len({each.patient for each in manifest.records}) == 3


def test_radiographs_without_a_pseudonym_are_left_out(store: DatasetStore) -> None:
    """Their patient may be in the test split. A radiograph of two patients is left out too."""
    answers = [_answer(picture(n), f"{name}.png", _said("Edema", True)) for n, name in enumerate("abc")]
    answers.append(_answer(picture(2), "b.png", request_id="again"))
    patients = {"a.png": "p-17", "b.png": "p-18", "c.png": "p-19"}
    assert len(_built(store, answers[:3], patients={"a.png": "p-17"}).records) == 1
    assert len(_built(store, answers, patients=patients).records) == 2
    (record,) = _built(store, answers[:1], patients={"a.png": "p-17"}).records
    assert record.split == assign_split("p-17")


def test_radiographs_that_the_store_lost_or_changed_are_left_out(store: DatasetStore) -> None:
    """A file may be deleted, replaced, or never stored. An older image id may still lead to the file."""
    answers = [
        _answer(picture(0), "a.png", _said("Edema", True)),
        _answer(picture(9), "b.png", _said("Edema", True)),
        _answer(picture(8), "gone.png", _said("Edema", True)),
        _answer(picture(7), None, _said("Edema", True)),
        _answer(picture(2), "gone.png", _said("Edema", True), request_id="newer"),
        _answer(picture(2), "c.png", request_id="older"),
    ]
    manifest = _built(store, answers, patients=None)
    kept = {hashlib.sha256(picture(n)).hexdigest() for n in (0, 2)}
    assert {each.sha256 for each in manifest.records} == kept
    assert "3 no longer kept as it was answered" in manifest.made_from[0]


def test_an_empty_result_is_an_error_with_reasons(store: DatasetStore) -> None:
    """The journal is empty, or every radiograph is left out."""
    with pytest.raises(NothingLabelled, match="0 radiographs with verdicts"):
        _built(store, [])
    with pytest.raises(NothingLabelled, match="1 without one patient"):
        _built(store, [_answer(picture(0), "z.png", _said("Edema", True))])


def test_a_label_needs_agreement_of_all_readers_who_can_tell() -> None:
    """Without a verdict a label is unknown."""
    yes, no, unsure = (_said("Edema", present) for present in (True, False, None))
    assert combine_verdicts([yes, yes, unsure]) is True
    assert combine_verdicts([no]) is False
    assert combine_verdicts([yes, no]) is None
    assert combine_verdicts([unsure]) is None
    assert combine_verdicts([]) is None
