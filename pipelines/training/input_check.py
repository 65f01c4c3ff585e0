"""The input check: a logistic regression that tells upright chest films from other images."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from pipelines.data.labelled_radiographs import LabelledRadiographs
from pipelines.training.input_check_images import CheckImages, make_training_images, make_validation_images
from pipelines.training.typicality import Typicality
from pleura.bundle import InputCheck
from pleura.contract import INPUT_CLASSES
from predictor.build.weights import CHECK_TILES
from predictor.engines.input_flags import UNTYPICAL_SHARE

Floats = NDArray[np.floating]
Tensors = NDArray[np.uint8]
FEWEST_FILMS: Final = 50
"""The fewest films of each split that a check is fitted on: fewer say nothing about one in a hundred."""
MOST_TRAINING: Final = 120
"""The most training films of a source, and pictures of a kind: more tell no more (docs/decisions/0047)."""
MOST_VALIDATION: Final = 250
"""The most validation films of one source; each is run seven times."""
_REGULARISATION: Final = 0.01
_ACCEPTED: Final = 0.005
_REFUSED: Final = 0.02
_BEYOND: Final = 1.25
_SEED: Final = 1


ComputeFeatures = Callable[[Tensors], Floats]
"""From tensors (N, 224, 224) to features (N, 1024)."""


@dataclass(frozen=True, eq=False)
class CheckFilms:
    """What an input check is fitted on: upright films by source, and pictures of no chest by kind."""

    training: Mapping[str, Tensors]
    validation: Mapping[str, Tensors]
    not_chest_training: Mapping[str, Tensors] = field(default_factory=dict)
    not_chest_validation: Mapping[str, Tensors] = field(default_factory=dict)

    @property
    def is_enough(self) -> bool:
        """Tell whether there are enough films to fit a check, and to choose its thresholds."""
        splits = (self.training, self.validation)
        return all(sum(map(len, films.values())) >= FEWEST_FILMS for films in splits)

    def describe(self) -> tuple[str, ...]:
        """Describe in a line each what the check is fitted on."""
        films = [
            f"{source}: {len(each)} films, upright and altered" for source, each in self.training.items()
        ]
        pictures = [f"{kind}: {len(each)}" for kind, each in self.not_chest_training.items()]
        return (*films, "drawn: noise, gradients, shapes; pieces of films, shuffled films", *pictures)


@dataclass(frozen=True, eq=False)
class FittedInputCheck:
    """The regression, ``kernel`` (inputs, classes) and ``bias`` (classes), and the thresholds."""

    kernel: Floats
    bias: Floats
    thresholds: InputCheck

    def probabilities(self, inputs: Floats) -> Floats:
        """Compute the probabilities of the classes, shape (N, 4)."""
        return _probabilities(inputs, self.kernel, self.bias)


@dataclass(frozen=True, eq=False)
class CheckedImages:
    """Images of one class and name as the check sees them: ``inputs`` (N, inputs), ``distances`` (N,)."""

    input_class: str
    name: str
    inputs: Floats
    distances: Floats


def films_by_source(radiographs: LabelledRadiographs, most: int) -> dict[str, Tensors]:
    """Take at most so many films of each source, of as many patients as possible."""
    chosen = {}
    for source in np.unique(radiographs.sources):
        rows = np.flatnonzero(radiographs.sources == source)
        _, first = np.unique(radiographs.patients[rows], return_index=True)
        others = np.setdiff1d(np.arange(len(rows)), first)
        shuffled = [np.random.default_rng(_SEED).permutation(part) for part in (first, others)]
        chosen[str(source)] = radiographs.tensors[rows[np.concatenate(shuffled)[:most]]]
    return chosen


def join_check_inputs(tensors: Tensors, features: Floats) -> Floats:
    """Join what the check looks at, as ``predictor.build.graph.compute_check_inputs`` does in the graph."""
    side = tensors.shape[1] // CHECK_TILES
    tiles = tensors.reshape(-1, CHECK_TILES, side, CHECK_TILES, side).mean(axis=(2, 4))
    return np.concatenate([features, tiles.reshape(len(tensors), -1)], axis=1)


def run_images(
    images: Iterable[CheckImages], compute: ComputeFeatures, typicality: Typicality
) -> Iterator[CheckedImages]:
    """Compute what the check sees of images, a kind at a time."""
    for each in images:
        features = compute(each.tensors)
        inputs = join_check_inputs(each.tensors, features).astype(np.float32)
        yield CheckedImages(each.input_class, each.name, inputs, typicality.distance(features))


def _probabilities(inputs: Floats, kernel: Floats, bias: Floats) -> Floats:
    probabilities: Floats = softmax(inputs @ kernel + bias, axis=1)
    return probabilities


def fit_regression(images: Sequence[CheckedImages]) -> tuple[Floats, Floats]:
    """Fit the regression on standardised inputs, and give its kernel and bias for inputs as they come.

    The classes have the same weight. In a class, a name has the weight of the root of its images, so that a
    large source does not speak for a small one.
    """
    inputs = np.concatenate([each.inputs for each in images])
    classes = np.concatenate([np.full(len(e.inputs), INPUT_CLASSES.index(e.input_class)) for e in images])
    weights = np.concatenate([np.full(len(e.inputs), len(e.inputs) ** -0.5) for e in images])
    for number in range(len(INPUT_CLASSES)):
        weights[classes == number] *= len(weights) / weights[classes == number].sum() / len(INPUT_CLASSES)
    mean, spread = inputs.mean(axis=0), inputs.std(axis=0) + 1e-3
    regression = LogisticRegression(C=_REGULARISATION, max_iter=1000)
    regression.fit((inputs - mean) / spread, classes, weights)
    kernel = (regression.coef_ / spread).T
    bias = regression.intercept_ - mean @ kernel
    # as the model source keeps them, so that the thresholds belong to what is served
    return kernel.astype(np.float32), bias.astype(np.float32)


def choose_threshold(upright: Mapping[str, Floats], others: Mapping[str, Floats]) -> float:
    """Choose the threshold of the upright probability, from the probabilities of images by source and kind.

    It is the lowest that accepts no more than 0.5 % of every kind that should be refused, unless that would
    refuse more than 2 % of the films of a source: then the highest that refuses no more.
    """
    strict = max(float(np.quantile(each, 1 - _ACCEPTED, method="higher")) for each in others.values())
    lenient = min(float(np.quantile(each, _REFUSED, method="lower")) for each in upright.values())
    return float(np.clip(min(np.nextafter(strict, 1), lenient), 0, 1))


def choose_thresholds(
    kernel: Floats,
    bias: Floats,
    validation: Sequence[CheckedImages],
    typicality: Typicality,
    fitted_on: tuple[str, ...] = (),
) -> InputCheck:
    """Choose the thresholds of a check on validation images."""
    upright: dict[str, Floats] = {}
    others: dict[str, Floats] = {}
    for each in validation:
        kinds = upright if each.input_class == INPUT_CLASSES[0] else others
        found = _probabilities(each.inputs, kernel, bias)[:, 0]
        kinds[each.name] = np.concatenate([kinds.get(each.name, found[:0]), found])
    films = np.concatenate([each.distances for each in validation if each.input_class == INPUT_CLASSES[0]])
    known = typicality.quantiles
    return InputCheck(
        upright_threshold=choose_threshold(upright, others),
        not_chest_distance=float(films.max()) * _BEYOND,
        untypical_distance=float(np.quantile(known, 1 - UNTYPICAL_SHARE)),
        chosen=(
            "on the validation split: at most 0.5 % of each kind of other image accepted, unless more than "
            "2 % of the films of a source were refused; a quarter beyond the farthest film; 2 % of the films "
            "untypical"
        ),
        fitted_on=fitted_on,
    )


def fit_input_check(films: CheckFilms, compute: ComputeFeatures, typicality: Typicality) -> FittedInputCheck:
    """Fit an input check, and choose its thresholds. There must be enough films."""
    training = make_training_images(films.training, films.not_chest_training, _SEED)
    kernel, bias = fit_regression(list(run_images(training, compute, typicality)))
    validation = make_validation_images(films.validation, films.not_chest_validation, _SEED + 1)
    checked = list(run_images(validation, compute, typicality))
    thresholds = choose_thresholds(kernel, bias, checked, typicality, films.describe())
    return FittedInputCheck(kernel, bias, thresholds)
