"""The images that an input check is fitted on: upright chest films, and what it must tell from them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.drawn_images import FITTED_KINDS, draw_images
from pipelines.evaluation.refusals import MIRRORED, alter_radiographs
from pipelines.training.augmentation import augment
from pleura.contract import INPUT_CLASSES, SIZE_PX
from pleura.errors import RefusedRadiograph
from pleura.radiograph.tensor import to_tensor

Tensors = NDArray[np.uint8]
_CLASS_OF_KIND: Final = {"inverted": "inverted"}
_STRENGTH: Final = 0.8
_DRAWN: Final = 60
_BLURRED: Final = 0.15
_FRAMED: Final = 0.2


@dataclass(frozen=True, eq=False)
class CheckImages:
    """Images of one class of the input check, uint8 (N, 224, 224), and the name of their source or kind."""

    input_class: str
    name: str
    tensors: Tensors


def make_training_images(
    films: Mapping[str, Tensors], not_chest: Mapping[str, Tensors], seed: int
) -> Iterator[CheckImages]:
    """Make the images to fit on.

    Args:
        films: Upright chest films by source.
        not_chest: Pictures that show no chest film, by kind.
        seed: Of everything that is random.
    """
    random = np.random.default_rng(seed)
    for source, tensors in films.items():
        # docs/decisions/0047: a mirrored film cannot be told from situs inversus, so it counts as upright
        mirrored = _vary_all(tensors[::2, :, ::-1], random)
        upright = np.concatenate([tensors, _vary_all(tensors, random), mirrored])
        yield CheckImages(INPUT_CLASSES[0], source, upright)
        mixed = np.concatenate([tensors[::3, :, ::-1], tensors[1::3], tensors[2::3]])
        for kind, altered in alter_radiographs(mixed).items():
            if kind != MIRRORED:
                yield CheckImages(_CLASS_OF_KIND.get(kind, "orientation"), kind, _vary_all(altered, random))
        # the grey scale of a radiograph is not enough: a piece of a chest film is no chest film
        pieces = np.stack([_cut_piece(tensor, random) for tensor in tensors[::2]])
        yield CheckImages("not_chest", "piece of a film", pieces)
        shuffled = np.stack([_shuffle_tiles(tensor, random) for tensor in tensors[1::2]])
        yield CheckImages("not_chest", "shuffled film", shuffled)
    for kind, drawn in draw_images(FITTED_KINDS, _DRAWN, seed).items():
        yield CheckImages("not_chest", kind, drawn)
    for kind, pictures in not_chest.items():
        turned = np.stack([np.rot90(each, int(random.integers(4))) for each in _vary_all(pictures, random)])
        yield CheckImages("not_chest", kind, np.concatenate([pictures, turned]))


def make_validation_images(
    films: Mapping[str, Tensors], not_chest: Mapping[str, Tensors], seed: int
) -> Iterator[CheckImages]:
    """Make the images that the thresholds are chosen on: nothing is varied."""
    for source, tensors in films.items():
        yield CheckImages(INPUT_CLASSES[0], source, tensors)
        for kind, altered in alter_radiographs(tensors).items():
            if kind != MIRRORED:
                yield CheckImages(_CLASS_OF_KIND.get(kind, "orientation"), kind, altered)
    for kind, pictures in {**draw_images(FITTED_KINDS, _DRAWN // 2, seed), **not_chest}.items():
        yield CheckImages("not_chest", kind, pictures)


def _vary_all(tensors: Tensors, random: np.random.Generator) -> Tensors:
    return np.stack([_vary(tensor, random) for tensor in tensors])


def _vary(tensor: Tensors, random: np.random.Generator) -> Tensors:
    """Change a film as another hospital might: another place, scale and grey scale, blur, a black frame."""
    varied = augment(np.ascontiguousarray(tensor), SIZE_PX, random, _STRENGTH)
    if random.random() < _BLURRED:
        side = int(random.integers(48, 128))
        small = cv2.resize(varied, (side, side), interpolation=cv2.INTER_AREA)
        varied = cv2.resize(small, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    if random.random() < _FRAMED:
        top, bottom, left, right = random.integers(0, SIZE_PX // 8, 4)
        varied[:top], varied[:, :left] = 0, 0
        varied[SIZE_PX - bottom :], varied[:, SIZE_PX - right :] = 0, 0
    return varied


def _cut_piece(tensor: Tensors, random: np.random.Generator) -> Tensors:
    side = int(random.uniform(0.25, 0.4) * SIZE_PX)
    top, left = random.integers(0, SIZE_PX - side, 2)
    piece = tensor[top : top + side, left : left + side]
    try:
        return to_tensor(piece)
    except RefusedRadiograph:  # a corner without contrast
        return np.zeros_like(tensor)


def _shuffle_tiles(tensor: Tensors, random: np.random.Generator) -> Tensors:
    count = int(random.choice([2, 4, 7]))
    side = SIZE_PX // count
    tiles = tensor.reshape(count, side, count, side).swapaxes(1, 2).reshape(-1, side, side)
    shuffled = tiles[random.permutation(count**2)].reshape(count, count, side, side)
    return np.ascontiguousarray(shuffled.swapaxes(1, 2).reshape(SIZE_PX, SIZE_PX))
