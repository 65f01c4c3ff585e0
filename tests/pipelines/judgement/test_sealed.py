"""A model is judged on a data set once."""

import threading
from pathlib import Path

import pytest

from pipelines.judgement.dossier import Dossier
from pipelines.judgement.sealed import Pair, RecordFolder, WrongDossier, judged_once
from pipelines.value import InvalidDocument
from tests.pipelines.judged import DATASET, dossier

PAIR = Pair(DATASET.digest, "a" * 64)


@pytest.fixture(scope="module")
def first() -> Dossier:
    return dossier(seed=0)


@pytest.fixture(scope="module")
def second() -> Dossier:
    return dossier(seed=1)


def test_a_second_judgement_is_the_first_one(tmp_path: Path, first: Dossier, second: Dossier) -> None:
    """Whoever judges again gets what stands, and the test split is not read again."""
    records, read = RecordFolder(tmp_path), []

    def judge() -> Dossier:
        read.append(1)
        return second if len(read) > 1 else first

    one, other = judged_once(records, PAIR, judge), judged_once(records, PAIR, judge)
    assert one.to_json() == other.to_json() == first.to_json() != second.to_json()
    assert len(read) == 1
    assert (tmp_path / PAIR.key).read_bytes() == first.to_json()


def test_of_two_at_once_the_first_one_stands(tmp_path: Path, first: Dossier, second: Dossier) -> None:
    """Two who judge the same pair at the same time both get the same judgement."""
    records, both = RecordFolder(tmp_path), threading.Barrier(2)
    found: list[bytes] = []

    def judge_with(made: Dossier) -> None:
        def judge() -> Dossier:
            both.wait(30)
            return made

        found.append(judged_once(records, PAIR, judge).to_json())

    threads = [threading.Thread(target=judge_with, args=(made,)) for made in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 2
    assert found[0] == found[1]
    assert found[0] in (first.to_json(), second.to_json())
    assert [path.name for path in (tmp_path / PAIR.key).parent.iterdir()] == [f"{PAIR.model_digest}.json"]


def test_a_judgement_of_another_pair_is_not_stored(tmp_path: Path, first: Dossier) -> None:
    """What was judged must be what was asked for; nothing is left behind."""
    other = Pair(DATASET.digest, "b" * 64)
    with pytest.raises(WrongDossier, match="not of judgements"):
        judged_once(RecordFolder(tmp_path), other, lambda: first)
    assert not (tmp_path / other.key).exists()


def test_a_damaged_judgement_is_not_taken(tmp_path: Path, first: Dossier) -> None:
    """Half a document stops the judgement instead of starting a second reading of the test split."""
    path = tmp_path / PAIR.key
    path.parent.mkdir(parents=True)
    path.write_bytes(first.to_json()[:1_000])
    with pytest.raises(InvalidDocument):
        judged_once(RecordFolder(tmp_path), PAIR, lambda: first)


def test_a_failed_judgement_leaves_the_seal_whole(tmp_path: Path, first: Dossier) -> None:
    """After a failure on the way nothing is stored, and the judgement can be made."""

    def fail() -> Dossier:
        raise MemoryError

    with pytest.raises(MemoryError):
        judged_once(RecordFolder(tmp_path), PAIR, fail)
    assert judged_once(RecordFolder(tmp_path), PAIR, lambda: first) == first
