"""The seal of a test split: a model is judged on a data set once, and that judgement stands.

Who judges until the figures please has tuned on the test split. A second judgement of the same pair therefore
returns the first one, to the bit, whatever the second would have found.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.evaluation.report import EvaluationReport
from pipelines.object_store import NoSuchObject, ObjectStore


class WrongReport(Exception):
    """A dossier is of another model or data set than the pair that it was made or stored for."""


@dataclass(frozen=True)
class ModelAndDataset:
    """A model and a data set, both by digest."""

    dataset_digest: str
    model_digest: str

    @property
    def key(self) -> str:
        """Where the judgement of this pair lies."""
        return f"judgements/{self.dataset_digest}/{self.model_digest}.json"


def evaluate_once(
    objects: ObjectStore, pair: ModelAndDataset, judge: Callable[[], EvaluationReport]
) -> EvaluationReport:
    """Judge a model on a data set, unless that was done before.

    Args:
        objects: Where judgements are kept.
        pair: Which model, which data set.
        judge: Reads the test split; called only where no judgement is stored.

    Returns:
        The stored judgement. Of two who judge at once, both get the one that was stored first.

    Raises:
        WrongDossier: The dossier is of another pair.
        InvalidDocument: What is stored is none.
        StoreUnavailable: The object store does not answer.
    """
    try:
        stored = objects.read(pair.key)
    except NoSuchObject:
        document = _of_pair(judge(), pair).to_json()
        is_first = objects.put_new(pair.key, document, "application/json")
        stored = document if is_first else objects.read(pair.key)
    return _of_pair(EvaluationReport.from_json(stored), pair)


def _of_pair(dossier: EvaluationReport, pair: ModelAndDataset) -> EvaluationReport:
    found = ModelAndDataset(dossier.subject.dataset.digest, dossier.subject.model_digest)
    if found != pair:
        raise WrongReport(f"the dossier is that of {found.key}, not of {pair.key}")
    return dossier
