"""The definition of an ablation: trainings that differ in one parameter, called arms."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import yaml
from pydantic import ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

from pipelines.training.parameters import TrainingParameters

ABLATION: Final = Path(__file__).with_name("ablation.yaml")
"""The arms of the default ablation."""
# Without this pydantic ignores a misspelt parameter, and the arm trains with the default in silence.
_STRICT: Final = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_STRICT)
class Arm:
    """One training: ``changes`` of the common parameters, from the weights of the arm ``start`` or random.

    ``against`` is the arm to compare with, or empty. The logits are the mean over ``views`` of each held-out
    radiograph: the first is unchanged, and the others are moved a little. An answer costs so many times more.
    """

    name: str
    changes: Mapping[str, Any]
    against: str = ""
    start: str = ""
    views: Annotated[int, Field(ge=1)] = 1


@dataclass(frozen=True, config=_STRICT)
class Ablation:
    """The arms in the order of their training, and their common parameters.

    One of ``one_in`` training patients is held out.
    """

    main_source: str
    one_in: int
    training: Mapping[str, Any]
    arms: Sequence[Arm]

    def parameters(self, arm: Arm) -> TrainingParameters:
        """Build the training parameters of an arm."""
        return TypeAdapter(TrainingParameters).validate_python({**self.training, **arm.changes})

    def definition(self, arm: Arm) -> str:
        """Write everything that decides the scores of an arm, except the data and the earlier arms."""
        common = {"main_source": self.main_source, "one_in": self.one_in}
        own = {"start": arm.start, "views": arm.views, "training": asdict(self.parameters(arm))}
        return json.dumps(common | own, indent=1, sort_keys=True) + "\n"


def read_ablation(path: Path) -> Ablation:
    """Read and validate a file of arms.

    Raises:
        ValueError: Two arms have the same name, or an arm names an unknown or later arm.
        pydantic.ValidationError: A field is missing, unknown, or of another type.
    """
    ablation = TypeAdapter(Ablation).validate_python(yaml.safe_load(path.read_text()))
    names: set[str] = set()
    for arm in ablation.arms:
        if arm.name in names:
            raise ValueError(f"two arms have the name {arm.name!r}")
        if arm.start not in names | {""}:
            raise ValueError(f"arm {arm.name!r} starts from {arm.start!r}, which is not an earlier arm")
        # Called for its errors only: a wrong parameter must
        # not be found hours later, when it is the arm's turn.
        ablation.parameters(arm)
        names.add(arm.name)
    for arm in ablation.arms:
        if arm.against not in names | {""}:
            raise ValueError(f"arm {arm.name!r} is compared with {arm.against!r}, which is not an arm")
    return ablation
