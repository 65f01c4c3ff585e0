"""The parameters of a training run, read from YAML."""

from pathlib import Path
from typing import Final

import yaml
from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

from pipelines.evaluation.description import ModelText
from pipelines.training.parameters import TrainingParameters

CHEST_XRAY: Final = Path(__file__).with_name("chest_xray.yaml")
"""The parameters of the default model."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Parameters:
    """Everything that decides a model besides the data."""

    training: TrainingParameters
    main_source: str
    bootstrap_seed: int
    words: ModelText


def read_parameters(path: Path) -> Parameters:
    """Read and check a parameter file.

    Raises:
        pydantic.ValidationError: A parameter is missing, unknown, or of another type.
    """
    return TypeAdapter(Parameters).validate_python(yaml.safe_load(path.read_text()))
