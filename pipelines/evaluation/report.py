"""All that was found out about one model on one sealed data set: what a report and a gate read."""

from typing import Literal

from pipelines.data.manifest import Sha256
from pipelines.evaluation.evaluate import Evaluation
from pipelines.evaluation.localisation import FindingLocalisation
from pipelines.evaluation.refusals import RefusalEvaluation
from pipelines.evaluation.subgroup_gaps import SubgroupEvaluation
from pipelines.value import Document, Value
from pleura.bundle import ModelDescription


class Dataset(Value):
    """What a model was judged on: a data set by digest, and which part of it."""

    name: str
    digest: Sha256
    split: Literal["val", "test"]
    made_from: tuple[str, ...]


class Subject(Value):
    """Who is judged on what: a model by digest, what is said of it, the data set, the code that judged."""

    name: str
    version: str
    model_digest: Sha256
    preprocessing_version: str
    intended_use: str
    limitations: tuple[str, ...]
    training_data: tuple[str, ...]
    calibration: str
    operating_points_chosen: str
    dataset: Dataset
    code_version: str

    @classmethod
    def of(
        cls, description: ModelDescription, model_digest: str, dataset: Dataset, code_version: str
    ) -> "Subject":
        """Take from a bundle's description what a reader of the dossier needs."""
        said = {name: getattr(description, name) for name in cls.model_fields if hasattr(description, name)}
        return cls(**said, model_digest=model_digest, dataset=dataset, code_version=code_version)


class LocalisationReport(Value):
    """Localisation on one set of radiographs; ``radiographs`` says in words which."""

    radiographs: str
    findings: tuple[FindingLocalisation, ...]


class EvaluationReport(Document):
    """The judgement of a model with all that belongs to it; what could not be looked at is empty or None."""

    subject: Subject
    judgement: Evaluation
    subgroups: tuple[SubgroupEvaluation, ...] = ()
    refusals: RefusalEvaluation | None = None
    localisation: tuple[LocalisationReport, ...] = ()
