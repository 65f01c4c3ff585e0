"""An imported network gives the outputs of PyTorch for the same weights and tensor."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.imported.densenet import UnsupportedNetwork, convert_network, match_outputs
from pipelines.imported.kinds import KINDS, find_release
from pipelines.imported.source import arrange_weights
from pipelines.imported.state import find_arrays
from pipelines.imported.torch_file import read_checkpoint
from pipelines.training.trained_network import NetworkOutputs, TrainedNetwork
from pleura.findings import FINDINGS
from proof.lab.torch_writer import legacy_file, module, state_dict, zip_file
from tests.support.imported.networks import (
    CHEXNET,
    TORCHXRAYVISION,
    Arrays,
    Shape,
    radiographs,
    random_state,
)

REFERENCE = np.load(Path(__file__).parents[2] / "data" / "imported" / "reference.npz")
TOLERANCE = 2e-5
"""Of logits up to 5; PyTorch's own rounding in float32 is up to 7e-6 (``make_reference`` prints it)."""
ALL = KINDS["torchxrayvision"].releases["all"].outputs


def as_published(kind: str, shape: Shape) -> bytes:
    """The random network in the form in which the kind is published."""
    arrays = random_state(shape, seed=4)
    if kind == "torchxrayvision":
        return legacy_file(module(arrays), arrays)
    return zip_file({"epoch": 3, "state_dict": wrapped(arrays)}, arrays)


def wrapped(arrays: Arrays) -> dict[str, Any]:
    """As DataParallel and the class of a reproduction wrap it, in the names of old torchvision."""
    named = {
        f"module.densenet121.{name.replace('norm1.', 'norm.1.').replace('conv2.', 'conv.2.')}": array
        for name, array in arrays.items()
    }
    return state_dict(named)


def seen(kind: str, shape: Shape) -> NetworkOutputs:
    """The outputs of our network with the weights of a published file."""
    network = convert_network(
        find_arrays(read_checkpoint(as_published(kind, shape))),
        next(iter(KINDS[kind].releases.values())).outputs,
    )
    return TrainedNetwork(arrange_weights(network, KINDS[kind].normalisation)).run(radiographs())


@pytest.mark.parametrize(("kind", "shape"), [("torchxrayvision", TORCHXRAYVISION), ("chexnet", CHEXNET)])
def test_logits_and_features_are_those_of_pytorch(kind: str, shape: Shape) -> None:
    """The file, the names, the epsilon, the padding and the order of the findings are converted exactly."""
    ours = seen(kind, shape)
    outputs = next(iter(KINDS[kind].releases.values())).outputs
    theirs = REFERENCE[kind][:, [outputs.index(name) for name in FINDINGS]]
    assert np.abs(ours.logits - theirs).max() < TOLERANCE
    assert np.abs(ours.features - REFERENCE[f"{kind}_features"]).max() < 3 * TOLERANCE
    assert np.ptp(theirs, axis=0).max() > 0.1  # the radiographs do differ


def test_findings_are_matched_by_name_in_any_spelling() -> None:
    """Spaces, case, CheXpert's names and the order do not matter."""
    names = [name.replace("_", " ").upper() for name in reversed(FINDINGS)]
    assert match_outputs(names) == list(reversed(range(14)))
    spoken = ["Pleural Effusion" if name == "Effusion" else name for name in FINDINGS]
    assert match_outputs(spoken) == list(range(14))


def test_a_checkpoint_without_one_of_our_findings_is_refused() -> None:
    """The error names the missing findings."""
    chexpert = KINDS["torchxrayvision"].releases["chex"].outputs
    missing = "Infiltration, Mass, Nodule, Emphysema, Fibrosis, Pleural_Thickening, Hernia"
    with pytest.raises(UnsupportedNetwork, match=missing):
        match_outputs(chexpert)
    with pytest.raises(UnsupportedNetwork, match="Hernia twice"):
        match_outputs([*FINDINGS, "hernia"])


@pytest.mark.parametrize(
    ("file", "release"),
    [
        (
            "nih-pc-chex-mimic_ch-google-openi-kaggle-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt",
            "all",
        ),
        ("nih-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt", "nih"),
        ("kaggle-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt", "rsna"),
        ("mimic_ch-densenet121-d121-tw-lr001-rot45-tr15-sc15-seed0-best.pt", "mimic_ch"),
        ("densenet121-res224-pc.pt", "pc"),
    ],
)
def test_a_release_is_recognised_by_its_file_name(file: str, release: str) -> None:
    """A checkpoint does not name its outputs, so the file name decides."""
    kind = KINDS["torchxrayvision"]
    assert find_release(kind, file) is kind.releases[release]


def test_an_unknown_release_must_be_named() -> None:
    """A renamed file is refused until its user names the release."""
    kind = KINDS["torchxrayvision"]
    with pytest.raises(UnsupportedNetwork, match="--outputs"):
        find_release(kind, "weights.pt")
    assert find_release(kind, "weights.pt", "nih") is kind.releases["nih"]
    assert find_release(kind, "weights.pt", "Hernia, Mass").outputs == ("Hernia", "Mass")


def _without(name: str) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {key: array for key, array in arrays.items() if key != name}


def _with(name: str, array: Any) -> Callable[[Arrays], Arrays]:
    return lambda arrays: arrays | {name: array}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without("features.norm5.bias"), "lacks 'features.norm5.bias'"),
        (_without("features.conv0.weight"), "it is not a DenseNet"),
        (_with("features.extra.weight", np.ones(1)), "also has 'features.extra.weight'"),
        (_with("features.norm0.bias", np.full(64, np.nan)), "'features.norm0.bias' holds values"),
        (_with("features.norm0.running_var", np.full(64, -1.0)), "variance of 'features.norm0'"),
        (_with("features.norm0.weight", np.ones((64, 1))), "'features.norm0.weight' has the shape"),
        (_with("classifier.weight", np.ones((14, 1024))), "its last layer has the shape"),
    ],
)
def test_another_network_is_refused(change: Callable[[Arrays], Arrays], said: str) -> None:
    """The error names the array that is missing, unexpected, damaged or of another shape."""
    with pytest.raises(UnsupportedNetwork, match=said):
        convert_network(change(random_state(TORCHXRAYVISION, seed=0)), ALL)
