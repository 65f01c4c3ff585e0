"""Looking after predictor and object store in the background, so that readiness costs a request nothing."""

import asyncio
import time
from typing import Final

import structlog

from pleura.errors import PleuraError, PredictorUnavailable
from pleura.observability.metrics import show_model
from pleura.serving.model import DescribedModel
from transformer.answer import Revision
from transformer.cache.answer_cache import AnswerCache
from transformer.object_store import ObjectStore
from transformer.predictor_client import PredictorClient

_LOOK_S: Final = 2.0
_MISSED_LOOKS: Final = 3
_LOST_S: Final = 30.0
log = structlog.get_logger()


class DependencyMonitor:
    """What was seen lately of the parts without which there is no answer."""

    def __init__(
        self, predictor: PredictorClient, store: ObjectStore, cache: AnswerCache, interval_s: float
    ) -> None:
        self._predictor, self._store, self._cache = predictor, store, cache
        self._interval_s = interval_s
        self._described: DescribedModel | None = None
        self._predictor_seen_s = self._store_seen_s = float("-inf")
        self._looked_s = float("inf")  # not before it runs: decoders may take a minute to start
        self._was_healthy = False

    @property
    def is_healthy(self) -> bool:
        """Whether both answered one of the last few looks."""
        return self.sees_predictor and self.sees_store

    @property
    def sees_predictor(self) -> bool:
        """Whether the predictor answered one of the last few looks."""
        return not self._is_late(self._predictor_seen_s)

    @property
    def sees_store(self) -> bool:
        """Whether the object store answered one of the last few looks."""
        return not self._is_late(self._store_seen_s)

    @property
    def is_alive(self) -> bool:
        """Whether it looks at all: a look is over in seconds, whatever the parts do."""
        return time.monotonic() - self._looked_s < _MISSED_LOOKS * self._interval_s + _LOST_S

    async def described(self) -> DescribedModel:
        """The model that answered the last look.

        Raises:
            PredictorUnavailable: None answered lately.
        """
        if self._described is None or not self.sees_predictor:
            raise PredictorUnavailable("the predictor does not answer")
        return self._described

    async def run(self) -> None:
        """Look every few seconds, until cancelled."""
        self._looked_s = time.monotonic()
        while True:
            await asyncio.gather(self._look_at_predictor(), self._look_at_store())
            await self._cache.publish_marks()
            self._looked_s = time.monotonic()
            if self.is_healthy is not self._was_healthy:
                self._was_healthy = self.is_healthy
                log.info("readiness_changed", ready=self.is_healthy)
            await asyncio.sleep(self._interval_s)

    async def _look_at_predictor(self) -> None:
        try:
            described = await self._predictor.describe(_LOOK_S)
        except PleuraError as error:
            log.info("predictor_not_seen", code=error.code)
            return
        if self._described is None or described.digest != self._described.digest:
            show_model(described.description.version)
        self._described, self._predictor_seen_s = described, time.monotonic()
        self._cache.marks.see(Revision(described.description.version, described.digest))

    async def _look_at_store(self) -> None:
        if await self._store.is_alive(_LOOK_S):
            self._store_seen_s = time.monotonic()
        else:
            log.info("store_not_seen")

    def _is_late(self, seen_s: float) -> bool:
        return time.monotonic() - seen_s > _MISSED_LOOKS * self._interval_s + _LOOK_S
