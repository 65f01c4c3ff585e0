"""Reading some radiographs of a window again, since the journal holds no pixels.

One counts only where the object is still the very file that was answered on. Its bytes have been through the
transformer's decoder processes before, or there were no answer on them.
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
from pipelines.object_store import ChangedObject, NoSuchObject, ObjectStore
from pleura.errors import PleuraError, StoreUnavailable
from pleura.radiograph.reader import read_radiograph

_MAX_PIXELS: Final = 100_000_000
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ImageSample:
    """What was read again: statistics, and how many could not be, or were no longer the same file."""

    statistics: tuple[ImageStatistics, ...]
    lost: int


def draw_answers(answers: Sequence[JournaledAnswer], most: int, seed: int) -> list[JournaledAnswer]:
    """Draw at most so many answers on stored radiographs, at random; the same for the same seed."""
    named = sorted((a for a in answers if a.image_id is not None), key=lambda each: each.image_digest)
    chosen = np.random.default_rng(seed).permutation(len(named))[:most]
    return [named[place] for place in sorted(chosen)]


def measure_images(objects: ObjectStore, answers: Sequence[JournaledAnswer]) -> ImageSample:
    """Measure the radiographs of some answers, from the object store.

    Raises:
        StoreUnavailable: It does not answer; what is gone or another file by now is counted as lost instead.
    """
    found = [_statistics_of(objects, answer) for answer in answers]
    statistics = tuple(each for each in found if each is not None)
    return ImageSample(statistics, len(found) - len(statistics))


def _statistics_of(objects: ObjectStore, answer: JournaledAnswer) -> ImageStatistics | None:
    try:
        file = read_answered(objects, answer.image_id or "")
        if hashlib.sha256(file).hexdigest() != answer.image_digest:
            return None
        return image_statistics(read_radiograph(file, _MAX_PIXELS))
    except StoreUnavailable:
        raise
    except (PleuraError, NoSuchObject, ChangedObject) as error:
        log.info("radiograph_not_read_again", reason=type(error).__name__)
        return None
