"""The evaluation report: everything that was measured of one model on one sealed data set.

The HTML report, the model card and the gate are made from it. It is stored as JSON.
"""

from typing import Literal

from pydantic import ConfigDict, Field

from pipelines.data.manifest import Sha256
from pipelines.evaluation.evaluation import Evaluation
from pipelines.evaluation.localisation import FindingLocalisation
from pipelines.evaluation.refusals import RefusalEvaluation
from pipelines.evaluation.subgroup_gaps import SubgroupEvaluation
from pipelines.value import Document, Value
from pleura.bundle import ModelDescription


class Dataset(Value):
    """The data set of an evaluation, by digest, and the split of it that the model was evaluated on."""

    name: str
    digest: Sha256
    split: Literal["val", "test"]
    made_from: tuple[str, ...]


class Subject(Value):
    """The model that is evaluated, its description, the data set, and the version of the evaluating code."""

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
        """Make a subject from the description in a model's bundle."""
        names = [name for name in cls.model_fields if hasattr(description, name)]
        described = {name: getattr(description, name) for name in names}
        return cls(**described, model_digest=model_digest, dataset=dataset, code_version=code_version)


class LocalisationReport(Value):
    """Localisation on one set of radiographs; ``radiographs`` names the set for a reader."""

    radiographs: str
    findings: tuple[FindingLocalisation, ...]


class EvaluationReport(Document):
    """An evaluation with its subgroups, refusals and localisation.

    A part that was not examined is empty or None. In stored JSON the evaluation is called ``judgement``.
    """

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True, validate_by_alias=True)

    subject: Subject
    evaluation: Evaluation = Field(validation_alias="judgement", serialization_alias="judgement")
    subgroups: tuple[SubgroupEvaluation, ...] = ()
    refusals: RefusalEvaluation | None = None
    localisation: tuple[LocalisationReport, ...] = ()
