"""The V2 model ``chest-xray``: read the request, read its radiographs, write the journal, answer."""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from pleura.contract import MODEL_NAME, TRANSFORMER_INPUTS, TRANSFORMER_OUTPUTS, TensorSpec
from pleura.deadline import Deadline
from pleura.errors import DeadlineExceeded, Overloaded, PleuraError
from pleura.journal_row import AnyRow, RefusedRow
from pleura.serving.kserve_import import InferenceVerb, InferRequest, InferResponse
from pleura.serving.model import DescribedModel, Model
from pleura.serving.v2 import make_response
from transformer.element_outcomes import require_readings, require_version
from transformer.health import DependencyMonitor
from transformer.journal.journal import Journal, JournalResult
from transformer.journal.row import make_journal_row, make_refused_row
from transformer.metrics import STAGES, count_observations
from transformer.outcome import Outcome, Reading, Refusal, judge_outcome, merge_with_header
from transformer.pseudonyms import PseudonymKeys, Pseudonyms
from transformer.radiograph_source import RadiographSource, StoredRadiograph
from transformer.reader import Reader
from transformer.refusal_policy import RefusalPolicy
from transformer.request import RadiographRequest, RequestLimits, read_request
from transformer.response import make_arrays, make_parameters

log = structlog.get_logger()


@dataclass(frozen=True)
class StartedRequest:
    """A request that was read, its identifiers as pseudonyms, and when on the performance counter."""

    request: RadiographRequest
    pseudonyms: tuple[Pseudonyms, ...]
    since_s: float


@dataclass(frozen=True)
class AnsweredRequest:
    """A request with an outcome for each of its radiographs."""

    request: RadiographRequest
    outcomes: Sequence[Outcome]
    since_s: float


class ChestXrayTransformer(Model):
    """Answers V2 requests about radiographs that are named by their keys, or sent as files."""

    inputs: Sequence[TensorSpec] = TRANSFORMER_INPUTS
    outputs: Sequence[TensorSpec] = TRANSFORMER_OUTPUTS

    def __init__(
        self,
        reader: Reader,
        journal: Journal,
        monitor: DependencyMonitor,
        limits: RequestLimits,
        policy: RefusalPolicy,
        max_in_flight: int,
        pseudonym_keys: PseudonymKeys,
    ) -> None:
        super().__init__(MODEL_NAME)
        self._pseudonym_keys = pseudonym_keys
        self._reader, self._journal, self._monitor, self._limits = reader, journal, monitor, limits
        self._policy = policy
        self._max_in_flight, self._in_flight = max_in_flight, 0

    async def healthy(self) -> bool:
        """Tell whether predictor and object store answered lately. No answer needs cache or PostgreSQL."""
        return self._monitor.is_healthy

    async def describe(self) -> DescribedModel:
        """Describe the model that answers now, and what this service refuses to show it."""
        return replace(self._monitor.describe_model(), refusal_policy=self._policy.describe())

    async def __call__(
        self,
        body: InferRequest,
        headers: dict[str, str] | None = None,
        verb: InferenceVerb = InferenceVerb.PREDICT,
    ) -> tuple[InferResponse, dict[str, str]]:
        """Answer one request, unless too many are in flight. The log has one line for it in any case."""
        try:
            if self._in_flight >= self._max_in_flight:
                raise Overloaded("too many requests are in flight")
            self._in_flight += 1
            try:
                return await super().__call__(body, headers, verb)
            finally:
                self._in_flight -= 1
        except PleuraError as error:
            reason = error.details.get("reason")
            log.info("request_failed", outcome=error.code, status=error.status, reason=reason)
            raise

    async def preprocess(
        self, payload: InferRequest, headers: dict[str, str] | None = None
    ) -> StartedRequest:
        """Read the request."""
        request, keys = read_request(payload, headers or {}, self._limits), self._pseudonym_keys
        for identifiers in request.identifiers:
            keys.require_key(identifiers)
        pseudonyms = tuple(keys.make_pseudonyms(identifiers) for identifiers in request.identifiers)
        return StartedRequest(request, pseudonyms, time.perf_counter())

    async def predict(
        self,
        payload: StartedRequest,
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> AnsweredRequest:
        """Read each radiograph, from the cache or with the predictor, and judge what was noticed about it."""
        request = payload.request
        outcomes = await self._reader.read(request.sources, request.deadline, request.trace)
        judged = [
            judge_outcome(merge_with_header(given, outcome), self._policy)
            for given, outcome in zip(payload.pseudonyms, outcomes, strict=True)
        ]
        count_observations(each.judgement for each in judged if not isinstance(each, PleuraError))
        result = AnsweredRequest(request, judged, payload.since_s)
        if any(isinstance(outcome, Refusal) for outcome in judged):
            # the answers of a request that fails are not sent, so they have no rows
            refused_rows = [row for row in make_rows(result) if isinstance(row, RefusedRow)]
            await self._write_journal(refused_rows, request.deadline)
        readings = require_readings(judged)
        # Envoy or KServe chooses the revision, so only the answer tells which one it was
        require_version(request.infer_request.model_version, readings[0])
        return result

    async def postprocess(
        self,
        result: AnsweredRequest,
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> InferResponse:
        """Write the journal, then answer."""
        request, readings = result.request, require_readings(result.outcomes)
        rows = make_rows(result)
        began_s = time.perf_counter()
        # an answer leaves only when its rows are durable (docs/decisions/0009)
        journal_result = await self._write_journal(rows, request.deadline)
        ended_s = time.perf_counter()
        STAGES["journal"].observe(ended_s - began_s)
        STAGES["whole"].observe(ended_s - result.since_s)
        revision = readings[0].answer.revision
        log.info(
            "request_answered",
            outcome="ok",
            radiographs=[_pseudonym(source) for source in request.sources],
            revision=revision.version,
            cached=sum(reading.cached for reading in readings),
            journal=journal_result,
            latency_ms=_slowest(rows) | {"whole": round(1000 * (ended_s - result.since_s), 3)},
        )
        arrays = make_arrays(readings, request.outputs)
        parameters = make_parameters(readings, journal_result)
        return make_response(request.infer_request, revision.version, arrays, parameters)

    async def _write_journal(self, rows: Sequence[AnyRow], deadline: Deadline) -> JournalResult:
        left_s = deadline.remaining_s
        try:
            async with asyncio.timeout(left_s):
                return await self._journal.append(rows)
        # the rows may still be written: the same request, sent again, then finds them (docs/decisions/0033)
        except TimeoutError as error:
            raise DeadlineExceeded("the time for this request has run out") from error


def make_rows(result: AnsweredRequest) -> list[AnyRow]:
    """Make the journal rows of a request, one for each radiograph that has an answer or a refusal."""
    request = result.request
    whole = {"until_journal": round(1000 * (time.perf_counter() - result.since_s), 3)}
    rows: list[AnyRow] = []
    for position, (source, outcome) in enumerate(zip(request.sources, result.outcomes, strict=True)):
        if isinstance(outcome, Reading):
            rows.append(make_journal_row(request.key, position, _object_key(source), outcome, whole))
        elif isinstance(outcome, Refusal):
            rows.append(make_refused_row(request.key, position, _object_key(source), outcome, whole))
    return rows


def _object_key(source: RadiographSource) -> str | None:
    return source.object_id.key if isinstance(source, StoredRadiograph) else None


def _pseudonym(source: RadiographSource) -> str | None:
    """Give a digest of the object's key for the log, since a key may contain a patient's name."""
    key = _object_key(source)
    return None if key is None else hashlib.sha256(key.encode()).hexdigest()[:12]


def _slowest(rows: Sequence[AnyRow]) -> dict[str, float]:
    """Give for each stage the time of the slowest radiograph, in milliseconds."""
    slowest: dict[str, float] = {}
    for row in rows:
        for stage, ms in row.latency_ms.items():
            slowest[stage] = max(ms, slowest.get(stage, 0.0))
    return slowest
