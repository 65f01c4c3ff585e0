"""Reads the radiographs of a request: identify, look up, infer, keep.

Requests for one and the same radiograph share one piece of work. Each request first asks the store which
content the object has, so its answer is never about an object as it was before the request came.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from pleura.deadline import Deadline
from pleura.errors import PleuraError, Unavailable
from transformer.answer import Revision
from transformer.cache.answer_cache import AnswerCache
from transformer.cache.entry import CachedAnswer
from transformer.coalescing import RequestCoalescer, SharedWork
from transformer.inference import Inference, Outcomes
from transformer.metrics import LOOK_UPS
from transformer.object_store import RadiographChanged, RadiographStore
from transformer.outcome import Outcome, Reading
from transformer.radiograph_source import RadiographContent, RadiographSource, identify_content
from transformer.stage_clock import StageClock


class Reader:
    """Reads the radiographs of every request; one object for the life of the service."""

    def __init__(
        self, store: RadiographStore, cache: AnswerCache, inference: Inference, pseudonym_key_id: str
    ) -> None:
        self._store, self._cache, self._inference = store, cache, inference
        self._pseudonym_key_id = pseudonym_key_id
        self._coalescer: RequestCoalescer[Outcomes] = RequestCoalescer()

    async def read(
        self, sources: Sequence[RadiographSource], deadline: Deadline, trace: Mapping[str, str]
    ) -> list[Outcome]:
        """Give the reading of each radiograph, or why there is none. One model revision answers for all."""
        outcomes = await self._read_once(sources, deadline, trace)
        if any(isinstance(outcome, RadiographChanged) for outcome in outcomes):
            # an object was replaced after its ETag was read: the answer must be about what it is now
            outcomes = await self._read_once(sources, deadline, trace)
        return outcomes

    async def _read_once(
        self, sources: Sequence[RadiographSource], deadline: Deadline, trace: Mapping[str, str]
    ) -> list[Outcome]:
        identified = await asyncio.gather(*(self._identify(source, deadline) for source in sources))
        contents = list(dict.fromkeys(each for each in identified if isinstance(each, RadiographContent)))
        outcomes = await self._read_coalesced(contents, deadline, trace) if contents else {}
        return [
            _add_latency(each.latency_ms, outcomes[each]) if isinstance(each, RadiographContent) else each
            for each in identified
        ]

    async def _identify(
        self, source: RadiographSource, deadline: Deadline
    ) -> RadiographContent | PleuraError:
        try:
            # costs each cached answer 0.5 ms, and none is about a replaced object (docs/decisions/0025)
            return await identify_content(source, self._store, deadline)
        except PleuraError as error:
            if isinstance(error, Unavailable):
                LOOK_UPS["unconfirmed"].inc()
            return error

    async def _read_coalesced(
        self, contents: Sequence[RadiographContent], deadline: Deadline, trace: Mapping[str, str]
    ) -> Outcomes:
        # a request for several radiographs shares its work with no other (docs/decisions/0011)
        key = contents[0] if len(contents) == 1 else object()
        try:
            return await self._coalescer.run(key, deadline, partial(self._read_contents, contents, trace))
        except PleuraError as error:
            return dict.fromkeys(contents, error)

    async def _read_contents(
        self, contents: Sequence[RadiographContent], trace: Mapping[str, str], work: SharedWork[Outcomes]
    ) -> None:
        """Resolve the work with the outcome of each content, then keep the new answers in the cache."""
        clock = StageClock()
        cached = await self._cache.find([content.cache_key for content in contents])
        clock.end("cache")
        outcomes = self._select_hits(contents, cached)
        missing = [content for content in contents if content not in outcomes]
        outcomes |= await self._infer(missing, trace, work)
        if len(_revisions(outcomes)) > 1:
            # during a canary, cached answers and new ones may come from two revisions
            outcomes = {**await self._infer(contents, trace, work)}
        if len(contents) == 1 and isinstance(failure := outcomes[contents[0]], PleuraError):
            # raised, so that the coalescer lets requests with more time try again
            raise failure
        work.resolve({each: _add_latency(clock.latency_ms, outcome) for each, outcome in outcomes.items()})
        await self._keep(outcomes)  # after the result: no caller waits for the cache

    def _is_complete(self, found: CachedAnswer) -> bool:
        """Tell whether a new answer would know no more than a cached one."""
        # the header is not read for a cached answer, so a new key would never make pseudonyms of it
        has_pseudonyms = found.pseudonyms.key_id == self._pseudonym_key_id
        # a predictor of an earlier version did not look at the pixels
        is_checked = found.answer.is_checked or not self._inference.checks_pixels
        return has_pseudonyms and is_checked

    async def _infer(
        self, contents: Sequence[RadiographContent], trace: Mapping[str, str], work: SharedWork[Outcomes]
    ) -> Outcomes:
        if not contents:
            return {}
        outcomes = await self._inference.infer(contents, trace, work)
        for revision in _revisions(outcomes):
            self._cache.live_revisions.see(revision)
        return outcomes

    async def _keep(self, outcomes: Outcomes) -> None:
        await self._cache.keep(
            {
                content.cache_key: CachedAnswer(outcome.answer, outcome.tag, outcome.pseudonyms)
                for content, outcome in outcomes.items()
                if isinstance(outcome, Reading) and not outcome.cached
            }
        )

    def _select_hits(
        self, contents: Sequence[RadiographContent], cached: Mapping[str, CachedAnswer]
    ) -> dict[RadiographContent, Outcome]:
        """Give the cached answers that are about exactly these contents, and count them."""
        hits: dict[RadiographContent, Outcome] = {}
        for content in contents:
            found = cached.get(content.cache_key)
            if found is None:
                continue
            if found.tag != content.tag:
                LOOK_UPS["replaced"].inc()
            elif not self._is_complete(found):
                LOOK_UPS["stale"].inc()
            else:
                LOOK_UPS["hit"].inc()
                hits[content] = Reading(found.answer, found.tag, True, {}, pseudonyms=found.pseudonyms)
        return hits


def _add_latency(latency_ms: Mapping[str, float], outcome: Outcome) -> Outcome:
    return outcome if isinstance(outcome, PleuraError) else outcome.after(latency_ms)


def _revisions(outcomes: Outcomes) -> set[Revision]:
    return {outcome.answer.revision for outcome in outcomes.values() if isinstance(outcome, Reading)}
