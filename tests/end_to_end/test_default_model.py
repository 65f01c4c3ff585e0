"""The model that comes with the repository."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.reports.model_card import model_card
from pleura.bundle import ModelDescription, verify
from pleura.findings import FINDINGS
from pleura.radiograph.reader import read_radiograph
from pleura.radiograph.tensor import to_tensor
from predictor.engines.agreement import require_same
from predictor.engines.engine import GraphOutputs, Radiographs
from predictor.engines.litert import LiteRtEngine
from predictor.engines.openvino import OpenVinoEngine

SOURCE = Path(__file__).parents[2] / "predictor" / "default"
_MOST_BYTES = 15_000_000


@pytest.fixture(scope="module")
def description() -> ModelDescription:
    return ModelDescription.model_validate_json((SOURCE / "source.json").read_text())


def _tensor(sample: Path) -> Radiographs:
    tensor: Radiographs = to_tensor(read_radiograph(sample.read_bytes(), 10**8).pixels)[..., None]
    return tensor


def _read(bundle: Path, *samples: Path) -> GraphOutputs:
    return LiteRtEngine(bundle, threads=2).run(np.stack([_tensor(path) for path in samples]))


def test_openvino_reads_them_as_litert_does(default_bundle: Path, samples: Path) -> None:
    """On real radiographs each number is the same but for rounding, alone or among others."""
    radiographs = np.stack([_tensor(path) for path in sorted(samples.glob("nih_*"))])
    litert, openvino = LiteRtEngine(default_bundle, threads=2), OpenVinoEngine(default_bundle, threads=2)
    ours, theirs = litert.run(radiographs), openvino.run(radiographs)
    require_same(ours, theirs, "LiteRT and OpenVINO")
    assert np.abs(ours.activation_map - theirs.activation_map).max() < 1e-3
    assert np.array_equal(theirs.rows(1, 2).probability, openvino.run(radiographs[1:2]).probability)


def test_the_weights_are_small_enough_to_commit() -> None:
    """Half precision keeps the repository light."""
    assert (SOURCE / "weights.npz").stat().st_size <= _MOST_BYTES


def test_the_card_says_what_the_description_says(description: ModelDescription) -> None:
    """The card is written from the description that travels with every answer."""
    assert (SOURCE / "MODEL_CARD.md").read_text() == model_card(description)


def test_what_cannot_be_measured_is_declared_so(description: ModelDescription) -> None:
    """A finding has figures exactly where the test split has enough positives."""
    for finding in description.findings:
        assert finding.is_measured == (finding.test_positives >= 20)
    assert not next(f for f in description.findings if f.name == "Hernia").is_measured


def test_the_bundle_reads_the_samples(default_bundle: Path, samples: Path) -> None:
    """Built from the committed weights, the bundle is sealed and answers; a dog is not typical."""
    verify(default_bundle)
    people = sorted(samples.glob("nih_*"))
    outputs = _read(default_bundle, *people, samples / "dog_thorax.dcm")
    assert outputs.probability.shape == (len(people) + 1, len(FINDINGS))
    assert np.median(outputs.typicality[:-1]) > 0.05 > outputs.typicality[-1]
