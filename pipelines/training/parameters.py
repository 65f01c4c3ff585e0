"""What decides a training run besides the data and the weights that it starts from."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """Epochs at one resolution; the learning rate falls along a cosine to a hundredth."""

    size_px: int
    epochs: int
    learning_rate: float
    auxiliary_per_epoch: int
    strength: float = 1.0


@dataclass(frozen=True)
class TrainingParameters:
    """See the fields.

    ``auxiliary_source`` names radiographs that train a head of their own. ``label_smoothing`` moves the
    targets that far from 0 and 1: labels mined from reports are wrong now and then. ``positive_weighting`` is
    the power of (absent / present) that a present finding weighs: 0 counts all alike, 1 gives both sides of a
    finding the same weight. ``patient_attributes`` has a head of its own learn sex, age and view where they
    are known; like the auxiliary one it is not served. ``horizontal_flip`` mirrors half of the radiographs:
    for ablations, see ``augment``. ``mixed_precision`` computes in bfloat16 where the hardware does; weights
    stay float32.
    """

    stages: Sequence[Stage]
    auxiliary_source: str = ""
    batch_size: int = 32
    weight_decay: float = 1e-3
    dropout: float = 0.3
    ema_momentum: float = 0.99
    label_smoothing: float = 0.0
    positive_weighting: float = 0.0
    patient_attributes: bool = False
    horizontal_flip: bool = False
    mixed_precision: bool = False
    seed: int = 1
