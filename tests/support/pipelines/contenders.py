"""Champions and challengers for tests: made-up radiographs whose truth is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml
from scipy.special import expit, logit

from pipelines.evaluation.scored_radiographs import ScoredRadiographs
from pipelines.gate.contenders import Contender
from pipelines.gate.decision import ModelIdentity
from pipelines.gate.gate import Provenance
from pipelines.gate.protocol import GateProtocol
from pleura.contract import PREPROCESSING_VERSION
from pleura.findings import FINDINGS

PROVENANCE = Provenance("d" * 64, "0123abc")
COUNT = len(FINDINGS)
_GATE = Path(__file__).parents[3] / "pipelines" / "gate"
CLINICAL_PROTOCOL = _GATE / "protocol.yaml"
SMALL_PROTOCOL = _GATE / "protocol_small.yaml"


def read_protocol(path: Path) -> GateProtocol:
    """Read one of the protocols that are shipped with the gate."""
    return GateProtocol.model_validate(yaml.safe_load(path.read_text()))


def champion(films: int = 600, each: int = 2, seed: int = 0, rare: int | None = None) -> Contender:
    """A calibrated model: each finding is present as often as its probability says.

    Every patient has ``each`` films; of the last finding there are ``rare`` positives, if given.
    """
    rng = np.random.default_rng(seed)
    logits = rng.normal(-1.0, 1.8, (films, COUNT))
    labels = (rng.random(logits.shape) < expit(logits)).astype(float)
    if rare is not None:
        labels[np.flatnonzero(labels[:, -1] == 1)[rare:], -1] = 0.0
    patients = np.array([f"p{index // each}" for index in range(films)])
    scored = ScoredRadiographs(
        probabilities=expit(logits),
        labels=labels,
        typicality=np.full(films, 0.5),
        digests=np.array([f"{index:064x}" for index in range(films)]),
        patients=patients,
        sources=np.repeat("one hospital", films),
        views=np.where(rng.random(films) < 0.5, "PA", "AP"),
        sexes=np.array(["F", "M"])[[int(p[1:]) % 2 for p in patients]],
        ages=np.array([20.0 + int(p[1:]) % 70 for p in patients]),
    )
    return Contender(
        ModelIdentity(version="1.0.0", digest="a" * 64),
        FINDINGS,
        (0.27,) * COUNT,
        PREPROCESSING_VERSION,
        (224, 224, 1),
        scored,
    )


def challenger(of: Contender, probabilities: np.ndarray | None = None) -> Contender:
    """Another model on the champion's radiographs; without probabilities it says the same."""
    scored = of.scored if probabilities is None else replace(of.scored, probabilities=probabilities)
    return replace(of, identity=ModelIdentity(version="1.1.0", digest="b" * 64), scored=scored)


def shifted(of: Contender, scale: float = 1.0, noise: float = 0.0, towards: float = 0.0) -> np.ndarray:
    """The champion's probabilities with logits stretched, blurred, and moved towards the truth."""
    rng = np.random.default_rng(99)
    logits = logit(of.scored.probabilities)
    moved = scale * logits + noise * rng.normal(size=logits.shape) + towards * (2 * of.scored.labels - 1)
    return np.asarray(expit(moved))
