"""The transformer's own metrics. ``docs/reference/metrics.md`` explains each of them."""

from collections.abc import Iterable, Sequence
from typing import Final, get_args

from prometheus_client import Counter, Gauge, Histogram

from pleura.errors import RefusalReason
from pleura.findings import FINDINGS
from pleura.observability.metrics import BUCKETS_S, Children
from pleura.radiograph.observations import WarningCode
from transformer.answer import Answer
from transformer.refusal_policy import Judgement, PolicyAction

_SCORE_BUCKETS: Final = tuple(round(0.05 * step, 2) for step in range(1, 20))
_MOST_VERSIONS: Final = 16
_OTHER: Final = "other"

STAGES: Final = Children(
    Histogram(
        "pleura_stage_duration_seconds",
        "Time of each stage that ended without an error.",
        ["stage"],
        buckets=BUCKETS_S,
    )
)
LOOK_UPS: Final = Children(
    Counter("pleura_cache_lookups_total", "Look-ups in the cache of answers.", ["result"])
)
ROWS: Final = Children(
    Counter(
        "pleura_journal_rows_total",
        "Journal rows that were made durable before their answer was sent.",
        ["where"],
    )
)
SPOOL_BYTES: Final = Gauge("pleura_spool_bytes", "Size of the spool.")
SPOOL_ROWS: Final = Gauge("pleura_spool_rows", "Rows in the spool that wait for PostgreSQL.")
SET_ASIDE_ROWS: Final = Gauge(
    "pleura_spool_rows_set_aside", "Rows of answers that were sent, but that PostgreSQL refuses."
)
RESTARTS: Final = Counter("pleura_decoder_restarts_total", "Decoder processes that had to be replaced.")
UP: Final = Gauge("pleura_dependency_up", "Whether a dependency answered lately.", ["dependency"])
INVALID: Final = Children(
    Counter(
        "pleura_unusable_predictions_total",
        "Answers of the predictor that are not valid.",
        ["model_version"],
    ),
    max_count=_MOST_VERSIONS,
)
_OBSERVATIONS: Final = Children(
    Counter(
        "pleura_observations_total",
        "What was noticed about radiographs, by what followed: refuse, warn or allow.",
        ["code", "action"],
    )
)
for _code in (*get_args(RefusalReason), *get_args(WarningCode)):
    for _action in get_args(PolicyAction):
        _ = _OBSERVATIONS[_code, _action]  # so that a rate is known from the first one on
_SCORES: Final = Histogram(
    "pleura_finding_score",
    "Score of a finding, for each radiograph that the model read.",
    ["finding", "model_version"],
    buckets=_SCORE_BUCKETS,
)
_CALLS: Final = Counter(
    "pleura_finding_calls_total",
    "Radiographs that the model read and on which the finding was present.",
    ["finding", "model_version"],
)
_TYPICALITY: Final = Histogram(
    "pleura_typicality",
    "Typicality of each radiograph that the model read.",
    ["model_version"],
    buckets=_SCORE_BUCKETS,
)


class _VersionMetrics:
    """The metrics of one model version. They are looked up once, since each radiograph counts in 29."""

    def __init__(self, version: str) -> None:
        _ = INVALID[version]  # so that the metric shows 0 from the start
        self.typicality = _TYPICALITY.labels(version)
        self.findings = [(_SCORES.labels(name, version), _CALLS.labels(name, version)) for name in FINDINGS]


_VERSIONS: Final[dict[str, _VersionMetrics]] = {}


def _version_metrics(version: str) -> _VersionMetrics:
    metrics = _VERSIONS.get(version)
    if metrics is None:
        # the version comes from the predictor: without a bound it could make time series without end
        name = version if len(_VERSIONS) < _MOST_VERSIONS else _OTHER
        metrics = _VERSIONS.setdefault(name, _VersionMetrics(name))
    return metrics


def count_answers(answers: Sequence[Answer]) -> None:
    """Count the scores and findings of new answers."""
    for answer in answers:
        metrics = _version_metrics(answer.revision.version)
        metrics.typicality.observe(answer.typicality)
        values = zip(metrics.findings, answer.probability.tolist(), answer.present.tolist(), strict=True)
        for (scores, calls), score, is_present in values:
            scores.observe(score)
            if is_present:
                calls.inc()


def count_observations(judgements: Iterable[Judgement]) -> None:
    """Count what was noticed about radiographs, by what the policy says of it."""
    for judgement in judgements:
        for action, observations in judgement.by_action().items():
            for observation in observations:
                _OBSERVATIONS[observation.code, action].inc()
