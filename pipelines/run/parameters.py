"""Everything that decides a run besides its data and the models that are there: one YAML file.

The protocol of the gate and the plan of the rollout are files of their own, named in it: they are fixed, and
have their own versions, before anybody knows a figure.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import Field, ValidationError

from pipelines.data.validation_report import ProblemKind
from pipelines.evaluation.description import ModelText
from pipelines.evaluation.evaluate import EvaluationProtocol
from pipelines.gate.protocol import GateProtocol
from pipelines.rollout.plan import RolloutPlan
from pipelines.training.parameters import TrainingParameters
from pipelines.value import Value

DEFAULT_PARAMETERS: Final = Path(__file__).with_name("pipeline.yaml")
SMALL_PARAMETERS: Final = Path(__file__).with_name("pipeline_small.yaml")
_FILES: Final = ("gate", "rollout")


class InvalidParameters(Exception):
    """The file does not say what a run needs, or says what none understands."""


class ReplayParameters(Value):
    """How much of the journal a challenger is shown: the newest answers of so many days.

    ``unshown`` says what becomes of a challenger where the journal holds too little to show anything.
    """

    days: Annotated[float, Field(gt=0)]
    most: Annotated[int, Field(ge=1)]
    unshown: Literal["stop", "go on"]


class RunParameters(Value):
    """See the fields.

    ``data_set`` is ``name@digest``. ``main_source`` is what the model is judged on; radiographs of the
    training's auxiliary source are shown besides. ``accepted`` names kinds of serious problems of the data
    that somebody has looked into and takes upon himself; ``who`` that is, in the registry's audit trail too.
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
        """What travels to each step: the files that were named are in it."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, document: str) -> "RunParameters":
        """Read what ``to_json`` wrote.

        Raises:
            InvalidParameters: It did not write this.
        """
        with _translated("the parameters"):
            return cls.model_validate_json(document)

    @property
    def digest(self) -> str:
        """SHA-256 of all of it, in hex."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


@dataclass(frozen=True)
class _translated:  # noqa: N801  # a context manager
    what: str

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, ValidationError):
            first = error.errors(include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "content"
            raise InvalidParameters(f"{self.what}: {where}: {first['msg']}") from error
        if isinstance(error, OSError):
            raise InvalidParameters(f"{error.filename} cannot be read: {error.strerror}") from error
        if isinstance(error, yaml.YAMLError | UnicodeDecodeError):
            raise InvalidParameters(f"{self.what} is no YAML") from error


def read_parameters(path: Path, **changes: str) -> RunParameters:
    """Read a parameter file, and the files that it names, relative to its own folder.

    Args:
        path: The YAML file.
        changes: Fields that are given otherwise, as ``data_set``.

    Raises:
        InvalidParameters: One of the files is missing or malformed, or a parameter makes no sense.
    """
    with _translated(path.name):
        document = yaml.safe_load(path.read_text())
        if not isinstance(document, dict):
            raise InvalidParameters(f"{path.name} holds no parameters")
        document |= changes
        if not document.get("data_set"):
            raise InvalidParameters("no data set is given: --data FOLDER, or --data-set NAME@DIGEST")
        for name in _FILES:
            if isinstance(document.get(name), str):
                document[name] = yaml.safe_load((path.parent / document[name]).read_text())
        return RunParameters.model_validate(document)
