"""The default model of the repository."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from pipelines.data.decode import decode_radiograph
from pipelines.evaluation.drawn_images import UNSEEN_KINDS, draw_images
from pipelines.reports.model_card import model_card
from pleura.bundle import ModelDescription, verify
from pleura.contract import INPUT_FLAGS
from pleura.findings import FINDINGS
from pleura.radiograph.reader import read_radiograph
from pleura.radiograph.tensor import to_tensor
from predictor.engines.agreement import require_same
from predictor.engines.engine import GraphOutputs, Radiographs
from predictor.engines.input_flags import flag_inputs
from predictor.engines.litert import LiteRtEngine
from predictor.engines.openvino import OpenVinoEngine

SOURCE = Path(__file__).parents[2] / "predictor" / "default"
_MAX_BYTES = 15_000_000
_NETWORK_OF_1_0_0 = "6c0ae4e7bc87d719869c3e1c298ef5893256b287af90faf229c7092c034db28f"


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


def _flags(bundle: Path, tensors: Radiographs) -> NDArray[np.bool_]:
    described, _ = verify(bundle)
    return flag_inputs(LiteRtEngine(bundle, threads=2).run(tensors), described.input_check)


@pytest.fixture(scope="module")
def films(samples: Path, test_data: Path) -> Radiographs:
    """Upright chest films: the samples, and small ones of the tests."""
    small = sorted((test_data / "radiographs").glob("*.webp"))[:24]
    pixels = [decode_radiograph(path.read_bytes()) for path in small]
    tensors = [_read_tensor(path) for path in sorted(samples.glob("nih_*"))]
    return np.stack([*tensors, *(to_tensor(each)[..., None] for each in pixels)])


def test_upright_chest_films_have_no_flag_that_refuses(default_bundle: Path, films: Radiographs) -> None:
    """At most one of thirty is flagged, though twenty-four are of 128 pixels."""
    assert _flags(default_bundle, films)[:, :3].any(axis=1).sum() <= 1


@pytest.mark.parametrize(
    ("alter", "flag"),
    [
        (lambda films: np.rot90(films, 1, (1, 2)), "orientation"),
        (lambda films: np.rot90(films, 2, (1, 2)), "orientation"),
        (lambda films: np.rot90(films, 3, (1, 2)), "orientation"),
        (lambda films: 255 - films, "inverted"),
    ],
    ids=["90", "180", "270", "inverted"],
)
def test_altered_films_are_flagged(
    alter: Callable[[Radiographs], Radiographs], flag: str, default_bundle: Path, films: Radiographs
) -> None:
    """A turned, upside-down or inverted copy of a film is refused, and nearly always with its reason."""
    flags = _flags(default_bundle, np.ascontiguousarray(alter(films)))
    assert flags[:, :3].any(axis=1).sum() >= len(films) - 1
    assert flags[:, INPUT_FLAGS.index(flag)].sum() >= 0.9 * len(films)


def test_quirks_and_what_is_no_chest_are_flagged(
    default_bundle: Path, samples: Path, test_data: Path
) -> None:
    """Real films that came turned, upside down and inverted, a dog, and drawn pictures."""
    quirks = [_read_tensor(path) for path in sorted((test_data / "quirks").glob("*.jpg"))]
    assert len(quirks) == 3
    drawn = [image[..., None] for images in draw_images(UNSEEN_KINDS, 4, 9).values() for image in images]
    tensors = np.stack([_read_tensor(samples / "dog_thorax.dcm"), *quirks, *drawn])
    assert _flags(default_bundle, tensors)[:, :3].any(axis=1).all()


def test_the_network_is_that_of_version_1_0_0() -> None:
    """The input check was added beside it: every other array is the same to the bit."""
    digest = hashlib.sha256()
    with np.load(SOURCE / "weights.npz") as arrays:
        for name in sorted(arrays.files):
            if not name.startswith("input_check/"):
                digest.update(name.encode() + arrays[name].tobytes())
    assert digest.hexdigest() == _NETWORK_OF_1_0_0


def test_the_manifests_serve_the_default_model(default_bundle: Path) -> None:
    """The digest of the base on Kubernetes is that of the bundle which the published weights make."""
    manifest = Path(__file__).parents[2] / "manifests" / "base" / "inference-service.yaml"
    service = next(yaml.safe_load_all(manifest.read_text()))
    (container,) = service["spec"]["predictor"]["containers"]
    variables = {each["name"]: each["value"] for each in container["env"]}
    assert variables["PLEURA_BUNDLE_DIGEST"] == verify(default_bundle)[1]
