"""Small trainings for tests: random radiographs, few steps at 32 px, and two arms to compare."""

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from pipelines.data.labelled_radiographs import LabelledRadiographs
from pipelines.training.parameters import TrainingParameters, TrainingStage
from pleura.findings import FINDINGS
from tests.support.pipelines.datasets import row_of

TINY = TrainingParameters([TrainingStage(32, 2, 1e-3, 0)], batch_size=8)
_STAGE = {"size_px": 32, "epochs": 1, "learning_rate": 1e-3, "auxiliary_per_epoch": 0}
BOTH: list[dict[str, Any]] = [
    {"name": "plain", "changes": {}},
    {"name": "again", "changes": {"seed": 2}, "start": "plain", "against": "plain", "views": 3},
]


def arms_file(folder: Path, arms: list[dict[str, Any]]) -> Path:
    """Write the file of an ablation."""
    file = folder / "arms.yaml"
    common = {"stages": [_STAGE], "batch_size": 4}
    file.write_text(yaml.safe_dump({"main_source": "ours", "one_in": 3, "training": common, "arms": arms}))
    return file


def random_row(number: int) -> dict[str, str]:
    """Make the row of a radiograph with random labels; every second one is for validation."""
    labels = np.random.default_rng(number).integers(0, 2, len(FINDINGS))
    named = {finding: str(label) for finding, label in zip(FINDINGS, labels, strict=True)}
    return row_of(f"{number}.png", "val" if number % 2 else "train", **named)


def random_radiographs(n: int, source: str = "nih_cxr14", seed: int = 0) -> LabelledRadiographs:
    """Make noise of 224 px with random labels, each finding at least once present and once absent."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, len(FINDINGS))) < 0.5).astype(np.float32)
    labels[0], labels[1] = 0, 1
    return LabelledRadiographs(
        tensors=rng.integers(0, 256, (n, 224, 224), np.uint8),
        labels=labels,
        patients=np.arange(n).astype(str),
        sources=np.full(n, source),
        paths=np.arange(n).astype(str),
    )
