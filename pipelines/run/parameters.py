"""The parameters of a run, read from one YAML file: all that decides a run besides its data and the champion.

The file names two more files: the protocol of the gate and the plan of the rollout. Both are fixed before
anybody knows a figure, and have versions of their own.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import Field, ValidationError

from pipelines.data.validation_report import ProblemKind
from pipelines.evaluation.description import ModelText
from pipelines.evaluation.evaluation import EvaluationProtocol
from pipelines.gate.protocol import GateProtocol
from pipelines.rollout.plan import RolloutPlan
from pipelines.training.parameters import TrainingParameters
from pipelines.value import Value

DEFAULT_PARAMETERS: Final = Path(__file__).with_name("pipeline.yaml")
SMALL_PARAMETERS: Final = Path(__file__).with_name("pipeline_small.yaml")
_FILES: Final = ("gate", "rollout")


class InvalidParameters(Exception):
    """A parameter is missing, unknown or invalid, or a file cannot be read."""


class ReplayParameters(Value):
    """How much of the journal is replayed: at most ``most`` answers of the last ``days`` days.

    ``unshown`` decides whether the run stops or goes on if the journal holds too few answers for a verdict.
    """

    days: Annotated[float, Field(gt=0)]
    most: Annotated[int, Field(ge=1)]
    unshown: Literal["stop", "go on"]


class RunParameters(Value):
    """The parameters of a run.

    ``data_set`` is ``name@digest``. The model is judged on radiographs of ``main_source``. It is trained on
    them, and on the auxiliary source of ``training``. ``accepted`` names the kinds of serious data problems
    that ``who`` has looked into and accepts. ``who`` stands in the audit trail of the registry too. ``words``
    are the texts of the model's description.
    """

    data_set: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}@[0-9a-f]{64}$")]
    main_source: str
    accepted: tuple[ProblemKind, ...] = ()
    who: Annotated[str, Field(min_length=1, max_length=100)]
    training: TrainingParameters
    words: ModelText
    judgement: EvaluationProtocol
    gate: GateProtocol
    replay: ReplayParameters
    rollout: RolloutPlan

    def to_json(self) -> str:
        """Write the document that each step gets; it includes the gate protocol and the rollout plan."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, document: str) -> "RunParameters":
        """Read a document of ``to_json``.

        Raises:
            InvalidParameters: The document is not one of ``to_json``.
        """
        with _invalid_parameters("the parameters"):
            return cls.model_validate_json(document)

    @property
    def digest(self) -> str:
        """SHA-256 of all parameters, in hex."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


@dataclass(frozen=True)
class _invalid_parameters:  # noqa: N801  # a context manager
    name: str

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, ValidationError):
            first = error.errors(include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "content"
            raise InvalidParameters(f"{self.name}: {where}: {first['msg']}") from error
        if isinstance(error, OSError):
            raise InvalidParameters(f"{error.filename} cannot be read: {error.strerror}") from error
        if isinstance(error, yaml.YAMLError | UnicodeDecodeError):
            raise InvalidParameters(f"{self.name} is not YAML") from error


def read_parameters(path: Path, **changes: str) -> RunParameters:
    """Read a parameter file, and the files that it names relative to its folder.

    Args:
        path: The YAML file.
        changes: Fields that replace those of the file, for example ``data_set``.

    Raises:
        InvalidParameters: One of the files is missing or malformed, or a parameter is invalid.
    """
    with _invalid_parameters(path.name):
        document = yaml.safe_load(path.read_text())
        if not isinstance(document, dict):
            raise InvalidParameters(f"{path.name} holds no parameters")
        document |= changes
        if not document.get("data_set"):
            raise InvalidParameters("no data set is given: --data FOLDER, or --data-set NAME@DIGEST")
        # Read into the document, so that its digest covers the protocol and the plan too.
        for name in _FILES:
            if isinstance(document.get(name), str):
                document[name] = yaml.safe_load((path.parent / document[name]).read_text())
        return RunParameters.model_validate(document)
