"""A model is evaluated on a data set once."""

import threading
import uuid

import pytest

from pipelines.evaluation.evaluate_once import ModelAndDataset, WrongReport, evaluate_once
from pipelines.evaluation.report import EvaluationReport
from pipelines.value import InvalidDocument
from pleura.local.dependencies import Server
from pleura.object_bucket import ObjectBucket, connect
from tests.support.pipelines.evaluations import DATASET, make_report

PAIR = ModelAndDataset(DATASET.digest, "a" * 64)


@pytest.fixture
def objects(seaweed: Server) -> ObjectBucket:
    store = ObjectBucket(
        connect(seaweed.url, "test-access", "test-secret-key"), f"sealed-{uuid.uuid4().hex[:12]}"
    )
    store.make_bucket()
    return store


@pytest.fixture(scope="module")
def first() -> EvaluationReport:
    return make_report(seed=0)


@pytest.fixture(scope="module")
def second() -> EvaluationReport:
    return make_report(seed=1)


def test_a_second_evaluation_returns_the_first_report(
    objects: ObjectBucket, first: EvaluationReport, second: EvaluationReport
) -> None:
    """A second evaluation returns the stored report and does not read the test split."""
    read = []

    def evaluate() -> EvaluationReport:
        read.append(1)
        return second if len(read) > 1 else first

    one, other = evaluate_once(objects, PAIR, evaluate), evaluate_once(objects, PAIR, evaluate)
    assert one.to_json() == other.to_json() == first.to_json() != second.to_json()
    assert len(read) == 1
    assert objects.read(PAIR.key) == first.to_json()


def test_of_two_at_once_the_first_one_stands(
    objects: ObjectBucket, first: EvaluationReport, second: EvaluationReport
) -> None:
    """Two evaluations of the same pair at the same time both give the same report."""
    both = threading.Barrier(2)
    found: list[bytes] = []

    def evaluate_and_store(made: EvaluationReport) -> None:
        def evaluate() -> EvaluationReport:
            both.wait(30)
            return made

        found.append(evaluate_once(objects, PAIR, evaluate).to_json())

    threads = [threading.Thread(target=evaluate_and_store, args=(made,)) for made in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 2
    assert found[0] == found[1]
    assert found[0] in (first.to_json(), second.to_json())
    assert objects.list_names("") == {PAIR.key}


def test_a_report_of_another_pair_is_not_stored(objects: ObjectBucket, first: EvaluationReport) -> None:
    """A report of another pair is refused, and nothing is stored."""
    other = ModelAndDataset(DATASET.digest, "b" * 64)
    with pytest.raises(WrongReport, match="not about judgements"):
        evaluate_once(objects, other, lambda: first)
    assert objects.list_names("") == frozenset()


def test_a_damaged_report_is_refused(objects: ObjectBucket, first: EvaluationReport) -> None:
    """Half a document stops the evaluation instead of starting a second reading of the test split."""
    objects.put(PAIR.key, first.to_json()[:1_000])
    with pytest.raises(InvalidDocument):
        evaluate_once(objects, PAIR, lambda: first)


def test_a_failed_evaluation_stores_nothing(objects: ObjectBucket, first: EvaluationReport) -> None:
    """After a failure on the way nothing is stored, and the evaluation can be made."""

    def fail() -> EvaluationReport:
        raise MemoryError

    with pytest.raises(MemoryError):
        evaluate_once(objects, PAIR, fail)
    assert evaluate_once(objects, PAIR, lambda: first) == first
