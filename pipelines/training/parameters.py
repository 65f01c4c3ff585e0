"""The parameters of a training and of a model, read from YAML."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import yaml
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from pipelines.evaluation.description import ModelText
from pipelines.evaluation.evaluation import EvaluationProtocol
from pipelines.value import Value

CHEST_XRAY: Final = Path(__file__).with_name("chest_xray.yaml")
"""The parameters of the default model."""

# Without this pydantic ignores a misspelt parameter, and the training takes the default in silence.
_STRICT: Final = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, config=_STRICT)
class TrainingStage:
    """Epochs at one resolution. The learning rate falls along a cosine to a hundredth."""

    size_px: Annotated[int, Field(ge=32)]
    epochs: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    auxiliary_per_epoch: Annotated[int, Field(ge=0)]
    strength: Annotated[float, Field(ge=0)] = 1.0


@dataclass(frozen=True, config=_STRICT)
class TrainingParameters:
    """How to train a network.

    ``auxiliary_source`` names radiographs that train a head of their own. ``label_smoothing`` moves the
    targets away from 0 and 1, because some labels that were mined from reports are wrong. A present finding
    has the weight (absent / present) ** ``positive_weighting``: 0 gives all labels the same weight, 1 gives
    both sides of a finding the same weight. ``patient_attributes`` trains a further head on sex, age and view
    where they are known. Neither head is served. ``horizontal_flip`` mirrors half of the radiographs, for
    ablations only (see ``augment``). ``mixed_precision`` computes in bfloat16 if the hardware can. The
    weights stay float32.
    """

    stages: Sequence[TrainingStage]
    auxiliary_source: str = ""
    batch_size: Annotated[int, Field(ge=1)] = 32
    weight_decay: Annotated[float, Field(ge=0)] = 1e-3
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    # docs/decisions/0040: averaging the weights is worth 0.010 of mean AUROC.
    # The choices below it changed nothing that can be told from chance.
    ema_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.99
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    positive_weighting: Annotated[float, Field(ge=0)] = 0.0
    patient_attributes: bool = False
    horizontal_flip: bool = False
    # docs/decisions/0040: on a CPU this trains 28 radiographs a second instead of 26.
    mixed_precision: bool = False
    seed: int = 1


class ModelParameters(Value):
    """Everything that decides a model besides the radiographs and the weights that it starts from."""

    main_source: str = ""
    """Source of the radiographs that the model is fitted and evaluated on. Empty: the only source."""
    training: TrainingParameters
    words: ModelText
    judgement: EvaluationProtocol = EvaluationProtocol()


def read_model_parameters(path: Path) -> ModelParameters:
    """Read and validate a YAML file of parameters.

    Raises:
        pydantic.ValidationError: A parameter is missing, unknown, or of another type.
    """
    return ModelParameters.model_validate(yaml.safe_load(path.read_text()))
