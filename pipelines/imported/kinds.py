"""The supported kinds of published checkpoints: their preprocessing, and the names of their outputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from pipelines.imported.densenet import UnsupportedNetwork
from pleura.findings import FINDINGS
from predictor.build.weights import Normalisation

_FIRST_FOURTEEN: Final = (
    *("Atelectasis", "Consolidation", "Infiltration", "Pneumothorax", "Edema", "Emphysema", "Fibrosis"),
    *("Effusion", "Pneumonia", "Pleural_Thickening", "Cardiomegaly", "Nodule", "Mass", "Hernia"),
)
_LAST_FOUR: Final = ("Lung Lesion", "Fracture", "Lung Opacity", "Enlarged Cardiomediastinum")
_NOT_IN_CHEXPERT: Final = {
    "Infiltration",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Nodule",
    "Mass",
    "Hernia",
}
_CHEXPERT_OUTPUTS: Final = (
    *("" if name in _NOT_IN_CHEXPERT else name for name in _FIRST_FOURTEEN),
    *_LAST_FOUR,
)


@dataclass(frozen=True)
class Release:
    """A published file of a kind: the names of its outputs (empty if untrained) and its training data."""

    outputs: tuple[str, ...]
    data: str
    has_seen_nih: bool


@dataclass(frozen=True)
class CheckpointKind:
    """A way to train a DenseNet121 on radiographs, shared by several published checkpoints."""

    name: str
    normalisation: Normalisation
    preprocessing: str
    releases: Mapping[str, Release]


_TORCHXRAYVISION: Final = CheckpointKind(
    "torchxrayvision",
    Normalisation((2 * 1024 / 255,), (-1024.0,)),
    "one channel from -1024 (black) to 1024 (white), scaled by the largest value of the file's bit depth, "
    "without any stretching of contrast; centre crop to a square, then resized to 224x224; zero padding "
    "after that. Its own outputs are scaled so that its own operating point is 0.5 (op_norm): not done here, "
    "calibration and operating points are fitted here",
    {
        "all": Release(
            (*_FIRST_FOURTEEN, *_LAST_FOUR),
            "NIH ChestX-ray14, PadChest, CheXpert, MIMIC-CXR, OpenI, RSNA and labels by Google",
            has_seen_nih=True,
        ),
        "nih": Release((*_FIRST_FOURTEEN, "", "", "", ""), "NIH ChestX-ray14", has_seen_nih=True),
        "pc": Release((*_FIRST_FOURTEEN, "", "Fracture", "", ""), "PadChest", has_seen_nih=False),
        "chex": Release(_CHEXPERT_OUTPUTS, "CheXpert", has_seen_nih=False),
        "mimic_nb": Release(_CHEXPERT_OUTPUTS, "MIMIC-CXR, labels by NegBio", has_seen_nih=False),
        "mimic_ch": Release(
            _CHEXPERT_OUTPUTS, "MIMIC-CXR, labels by CheXpert's labeller", has_seen_nih=False
        ),
        "rsna": Release(
            (
                *("Pneumonia" if name == "Pneumonia" else "" for name in _FIRST_FOURTEEN),
                "",
                "",
                "Lung Opacity",
                "",
            ),
            "RSNA pneumonia challenge (radiographs of the NIH)",
            has_seen_nih=True,
        ),
    },
)
_MEAN: Final = (0.485, 0.456, 0.406)
_DEVIATION: Final = (0.229, 0.224, 0.225)
_CHEXNET: Final = CheckpointKind(
    "chexnet",
    Normalisation(
        tuple(1 / (255 * deviation) for deviation in _DEVIATION),
        tuple(-mean / deviation for mean, deviation in zip(_MEAN, _DEVIATION, strict=True)),
    ),
    "the grey radiograph in each of three channels from 0 to 1, less ImageNet's mean (0.485, 0.456, 0.406), "
    "by its standard deviation (0.229, 0.224, 0.225), without any stretching of contrast; the shorter side "
    "resized to 224 or 256 and 224x224 cropped (some average ten crops); zero padding after that",
    {"chexnet": Release(FINDINGS, "NIH ChestX-ray14, from ImageNet weights", has_seen_nih=True)},
)
KINDS: Final[Mapping[str, CheckpointKind]] = {kind.name: kind for kind in (_TORCHXRAYVISION, _CHEXNET)}
# These two files are not named for their release.
_RELEASE_OF_FILE: Final = {"nih-pc-chex-mimic_ch-google-openi-kaggle": "all", "kaggle": "rsna"}


def find_release(kind: CheckpointKind, file: str, outputs: str | None = None) -> Release:
    """Find the release of a file, because a checkpoint does not name its outputs.

    Args:
        kind: The kind, as the user says.
        file: The name of the file, as it was published.
        outputs: The release or the names of the outputs, separated by commas, if the user says them.

    Raises:
        UnsupportedNetwork: Neither the file name nor the user names a release.

    Source:
        torchxrayvision/models.py (``model_urls``: labels and file names).
    """
    if outputs is not None and "," in outputs:
        names = tuple(name.strip() for name in outputs.split(","))
        return Release(names, "not said; taken to have seen NIH ChestX-ray14", has_seen_nih=True)
    if len(kind.releases) == 1 and outputs is None:
        return next(iter(kind.releases.values()))
    stem = PurePath(file).stem
    guessed = stem.partition("-densenet121")[0] if "-densenet121" in stem else stem.rpartition("res224-")[2]
    release = outputs or _RELEASE_OF_FILE.get(guessed, guessed)
    if release not in kind.releases:
        raise UnsupportedNetwork(
            f"{release!r} is not a release of {kind.name}; name the release with --outputs: "
            f"{', '.join(kind.releases)}, or the names of the outputs in order"
        )
    return kind.releases[release]
