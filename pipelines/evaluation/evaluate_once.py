"""Evaluate a model on a data set once; the stored report stands.

To repeat an evaluation until the figures please is to tune the model on the test split. A second
evaluation of the same model and data set therefore returns the first report, byte for byte.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.evaluation.report import EvaluationReport
from pleura.object_bucket import NoSuchObject, ObjectBucket


class WrongReport(Exception):
    """The report is about another model or data set than the ones that it was made or stored for."""


@dataclass(frozen=True)
class ModelAndDataset:
    """A model and a data set, both by digest."""

    dataset_digest: str
    model_digest: str

    @property
    def key(self) -> str:
        """The object key of the stored report."""
        return f"judgements/{self.dataset_digest}/{self.model_digest}.json"


def evaluate_once(
    objects: ObjectBucket, pair: ModelAndDataset, evaluate: Callable[[], EvaluationReport]
) -> EvaluationReport:
    """Evaluate a model on a data set unless a report of this pair is stored.

    Args:
        objects: The store of evaluation reports.
        pair: The model and the data set.
        evaluate: Reads the test split and makes the report. It is called only if no report is stored.

    Returns:
        The stored report. Two processes that evaluate the same pair at once both get the report that was
        stored first.

    Raises:
        WrongReport: The report is about another pair.
        InvalidDocument: The stored object is not an evaluation report.
        StoreUnavailable: The object store does not answer.
    """
    try:
        stored = objects.read(pair.key)
    except NoSuchObject:
        report = evaluate()
        _require_pair(report, pair)
        document = report.to_json()
        is_first = objects.put_if_absent(pair.key, document, "application/json")
        stored = document if is_first else objects.read(pair.key)
    # A damaged report is an error: another evaluation would read the test split a second time.
    report = EvaluationReport.from_json(stored)
    _require_pair(report, pair)
    return report


def _require_pair(report: EvaluationReport, pair: ModelAndDataset) -> None:
    found = ModelAndDataset(report.subject.dataset.digest, report.subject.model_digest)
    if found != pair:
        raise WrongReport(f"the report is about {found.key}, not about {pair.key}")
