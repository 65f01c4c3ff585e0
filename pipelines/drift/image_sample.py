"""Read a sample of a window's radiographs a second time, because the journal holds no pixels.

A radiograph counts only if its object is still the file that was answered. These bytes are safe to decode
here: the transformer's decoder processes decoded them before the answer.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import structlog

from pipelines.data.store import read_answered
from pipelines.drift.image_statistics import ImageStatistics, image_statistics
from pipelines.journal_reader import JournaledAnswer
from pleura.errors import PleuraError, StoreUnavailable
from pleura.object_bucket import ChangedObject, NoSuchObject, ObjectBucket
from pleura.radiograph.reader import read_radiograph

_MAX_PIXELS: Final = 100_000_000
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ImageSample:
    """Statistics of the sampled radiographs; ``lost`` counts those that are gone, changed or undecodable."""

    statistics: tuple[ImageStatistics, ...]
    lost: int


def draw_answers(answers: Sequence[JournaledAnswer], most: int, seed: int) -> list[JournaledAnswer]:
    """Draw at most ``most`` answers on stored radiographs at random; the same seed draws the same answers."""
    stored = sorted((a for a in answers if a.image_id is not None), key=lambda each: each.image_digest)
    chosen = np.random.default_rng(seed).permutation(len(stored))[:most]
    return [stored[place] for place in sorted(chosen)]


def measure_images(objects: ObjectBucket, answers: Sequence[JournaledAnswer]) -> ImageSample:
    """Read the radiographs of some answers from the object store and measure them.

    Raises:
        StoreUnavailable: The object store does not answer.
    """
    found = [_statistics_of(objects, answer) for answer in answers]
    statistics = tuple(each for each in found if each is not None)
    return ImageSample(statistics, len(found) - len(statistics))


def _statistics_of(objects: ObjectBucket, answer: JournaledAnswer) -> ImageStatistics | None:
    try:
        file = read_answered(objects, answer.image_id or "")
        if hashlib.sha256(file).hexdigest() != answer.image_digest:
            return None
        return image_statistics(read_radiograph(file, _MAX_PIXELS))
    except StoreUnavailable:
        raise
    except (PleuraError, NoSuchObject, ChangedObject) as error:
        log.info("radiograph_not_measured", reason=type(error).__name__)
        return None
