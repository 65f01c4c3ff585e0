"""Monitors predictor and object store in the background, so that readiness costs a request nothing."""

import asyncio
import time
from typing import Final

import structlog

from pleura.bundle import ModelDescription
from pleura.errors import PleuraError, PredictorUnavailable
from pleura.observability.metrics import show_model
from pleura.serving.model import DescribedModel
from transformer.answer import Revision
from transformer.cache.answer_cache import AnswerCache
from transformer.object_store import RadiographStore
from transformer.predictor_client import PredictorClient

_CHECK_TIMEOUT_S: Final = 2.0
_MISSED_CHECKS: Final = 3
_STUCK_AFTER_S: Final = 30.0
_MAX_DESCRIPTIONS: Final = 8
log = structlog.get_logger()


class DependencyMonitor:
    """Knows whether predictor and object store, which every answer needs, answered lately."""

    def __init__(
        self, predictor: PredictorClient, store: RadiographStore, cache: AnswerCache, interval_s: float
    ) -> None:
        self._predictor, self._store, self._cache = predictor, store, cache
        self._interval_s = interval_s
        self._described: DescribedModel | None = None
        self._descriptions: dict[str, ModelDescription] = {}
        self._predictor_answered_s = self._store_answered_s = float("-inf")
        self._checked_s = float("inf")  # before ``run``: the decoders may take a minute to start
        self._was_healthy = False

    @property
    def is_healthy(self) -> bool:
        """Whether predictor and object store answered one of the last few checks."""
        return self.is_predictor_up and self.is_store_up

    @property
    def is_predictor_up(self) -> bool:
        """Whether the predictor answered one of the last few checks."""
        return self._is_recent(self._predictor_answered_s)

    @property
    def is_store_up(self) -> bool:
        """Whether the object store answered one of the last few checks."""
        return self._is_recent(self._store_answered_s)

    @property
    def is_alive(self) -> bool:
        """Whether the monitor itself runs. A check takes a few seconds at most, in any state of the parts."""
        return time.monotonic() - self._checked_s < _MISSED_CHECKS * self._interval_s + _STUCK_AFTER_S

    def describe_model(self) -> DescribedModel:
        """Describe the model that answered the last check.

        Raises:
            PredictorUnavailable: The predictor did not answer lately.
        """
        if self._described is None or not self.is_predictor_up:
            raise PredictorUnavailable("the predictor does not answer")
        return self._described

    def find_description(self, digest: str) -> ModelDescription | None:
        """Give the description of a model that answered a check lately. During a canary there are two."""
        return self._descriptions.get(digest)

    async def run(self) -> None:
        """Check every few seconds, until cancelled."""
        self._checked_s = time.monotonic()
        while True:
            await asyncio.gather(self._check_predictor(), self._check_store())
            await self._cache.publish_live_revisions()
            self._checked_s = time.monotonic()
            if self.is_healthy is not self._was_healthy:
                self._was_healthy = self.is_healthy
                log.info("readiness_changed", ready=self.is_healthy)
            await asyncio.sleep(self._interval_s)

    async def _check_predictor(self) -> None:
        try:
            described = await self._predictor.describe(_CHECK_TIMEOUT_S)
        except PleuraError as error:
            log.info("predictor_unreachable", code=error.code)
            return
        if self._described is None or described.digest != self._described.digest:
            show_model(described.description.version)
            self._remember(described)
        self._described, self._predictor_answered_s = described, time.monotonic()
        # while the cache answers every request, only this check shows that the revision still answers
        self._cache.live_revisions.see(Revision(described.description.version, described.digest))

    def _remember(self, described: DescribedModel) -> None:
        # at the end again, so that the model that answers is forgotten last
        self._descriptions.pop(described.digest, None)
        while len(self._descriptions) >= _MAX_DESCRIPTIONS:
            self._descriptions.pop(next(iter(self._descriptions)))
        self._descriptions[described.digest] = described.description

    async def _check_store(self) -> None:
        if await self._store.is_alive(_CHECK_TIMEOUT_S):
            self._store_answered_s = time.monotonic()
        else:
            log.info("object_store_unreachable")

    def _is_recent(self, answered_s: float) -> bool:
        return time.monotonic() - answered_s <= _MISSED_CHECKS * self._interval_s + _CHECK_TIMEOUT_S
