"""Which content a question is about, and whose work on it may be shared.

The first who asks about an object has it looked at: a flight begins, which sees what there is. Who asks
while that is under way asks the store for the ETag too, and shares the flight where it sees the same: nobody
is told about an object as it was before the question.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from pleura.deadline import Deadline
from pleura.errors import DeadlineExceeded, PleuraError
from transformer.cache.answer_cache import cache_key
from transformer.object_store import ObjectStore
from transformer.radiograph_source import Source, StoredRadiograph, digest_of
from transformer.stage_clock import StageClock

Sighting = asyncio.Future[str | None]
"""The ETag that a flight sees; None where it sees none."""


@dataclass(frozen=True, eq=False)
class Known:
    """A radiograph, and the key that answers on it are kept under.

    ``tag`` says which content it has: the SHA-256 of what is sent, the ETag of what is stored. None is
    whichever an object has when a flight looks at it; those who wait for that learn it by ``sighting``.
    """

    source: Source
    key: str
    tag: str | None
    latency_ms: Mapping[str, float]
    sighting: Sighting | None = None

    @property
    def flight(self) -> str:
        """What those share who ask about the same content."""
        return self.key if self.tag is None else f"{self.key}@{self.tag}"

    def saw(self, tag: str | None) -> None:
        """Tell which content there is; None where that could not be found out."""
        if self.sighting and not self.sighting.done():
            self.sighting.set_result(tag)


class Naming:
    """Names radiographs, and knows what the flights under way see."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._sightings: dict[str, Sighting] = {}

    async def name(self, source: Source, deadline: Deadline) -> Known | PleuraError:
        """Find out what must be known of a radiograph before its flight; why it cannot be, if so.

        Raises:
            DeadlineExceeded: The request's time ran out before the flight under way had seen anything.
        """
        clock = StageClock()
        if not isinstance(source, StoredRadiograph):
            digest = await digest_of(source.file)
            clock.end("hash")
            return Known(source, cache_key("file", digest), digest, clock.latency_ms)
        key = cache_key("object", source.object_id.key)
        sighting = self._sightings.get(key)
        if sighting is None:  # a flight that begins from now on sees what there is from now on
            return Known(source, key, None, {})
        try:
            tag = await self._store.etag_of(source.object_id, deadline)
        except PleuraError as error:
            return error
        clock.end("stat")
        await asyncio.wait({sighting}, timeout=deadline.remaining_s)
        if not sighting.done():
            raise DeadlineExceeded("the time for this request has run out")
        return Known(source, key, tag, clock.latency_ms, sighting)

    def boarding(self, known: Known) -> Known:
        """Name the flight that was under way, where it still is and sees the same; to be joined at once."""
        sighting = known.sighting
        is_same = sighting and self._sightings.get(known.key) is sighting and sighting.result() == known.tag
        return replace(known, tag=None if is_same else known.tag, sighting=None) if sighting else known

    @contextmanager
    def flying(self, all_known: Sequence[Known]) -> Iterator[list[Known]]:
        """Give radiographs that tell what is seen of them, for as long as their flight lasts."""
        loop = asyncio.get_running_loop()
        telling = [
            replace(each, sighting=loop.create_future()) if each.tag is None else each for each in all_known
        ]
        mine = {each.key: each.sighting for each in telling if each.sighting}
        self._sightings |= mine
        try:
            yield telling
        finally:
            for key, sighting in mine.items():
                if not sighting.done():
                    sighting.set_result(None)
                if self._sightings.get(key) is sighting:
                    del self._sightings[key]
