"""The default model of the repository."""

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
_MAX_BYTES = 15_000_000


@pytest.fixture(scope="module")
def description() -> ModelDescription:
    return ModelDescription.model_validate_json((SOURCE / "source.json").read_text())


def _read_tensor(sample: Path) -> Radiographs:
    tensor: Radiographs = to_tensor(read_radiograph(sample.read_bytes(), 10**8).pixels)[..., None]
    return tensor


def _run_model(bundle: Path, *samples: Path) -> GraphOutputs:
    return LiteRtEngine(bundle, threads=2).run(np.stack([_read_tensor(path) for path in samples]))


def test_openvino_and_litert_agree(default_bundle: Path, samples: Path) -> None:
    """On real radiographs both engines give the same numbers up to rounding, alone and in a batch."""
    radiographs = np.stack([_read_tensor(path) for path in sorted(samples.glob("nih_*"))])
    litert, openvino = LiteRtEngine(default_bundle, threads=2), OpenVinoEngine(default_bundle, threads=2)
    litert_outputs, openvino_outputs = litert.run(radiographs), openvino.run(radiographs)
    require_same(litert_outputs, openvino_outputs, "LiteRT and OpenVINO")
    assert np.abs(litert_outputs.activation_map - openvino_outputs.activation_map).max() < 1e-3
    assert np.array_equal(openvino_outputs.rows(1, 2).probability, openvino.run(radiographs[1:2]).probability)


def test_the_weights_are_small_enough_to_commit() -> None:
    """Half precision keeps the repository light."""
    assert (SOURCE / "weights.npz").stat().st_size <= _MAX_BYTES


def test_the_model_card_follows_the_description(description: ModelDescription) -> None:
    """The card in the repository is the one that the bundle's description gives."""
    assert (SOURCE / "MODEL_CARD.md").read_text() == model_card(description)


def test_a_finding_with_few_positives_is_not_measured(description: ModelDescription) -> None:
    """A finding is measured exactly if the test split has enough positives."""
    for finding in description.findings:
        assert finding.is_measured == (finding.test_positives >= 20)
    assert not next(f for f in description.findings if f.name == "Hernia").is_measured


def test_the_bundle_reads_the_samples(default_bundle: Path, samples: Path) -> None:
    """A bundle built from the committed weights is sealed and answers, and a dog is atypical."""
    verify(default_bundle)
    radiographs = sorted(samples.glob("nih_*"))
    outputs = _run_model(default_bundle, *radiographs, samples / "dog_thorax.dcm")
    assert outputs.probability.shape == (len(radiographs) + 1, len(FINDINGS))
    assert np.median(outputs.typicality[:-1]) > 0.05 > outputs.typicality[-1]
