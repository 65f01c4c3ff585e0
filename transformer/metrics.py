"""What the transformer counts besides its requests; ``docs/metrics.md`` says what each means."""

from collections.abc import Sequence
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from pleura.findings import FINDINGS
from pleura.observability.metrics import BUCKETS_S, Children
from transformer.answer import Answer

_SCORE_BUCKETS: Final = tuple(round(0.05 * step, 2) for step in range(1, 20))
_MOST_VERSIONS: Final = 16
_OTHER: Final = "other"

STAGES: Final = Children(
    Histogram(
        "pleura_stage_duration_seconds",
        "Time that a stage took that ended well.",
        ["stage"],
        buckets=BUCKETS_S,
    )
)
LOOK_UPS: Final = Children(
    Counter("pleura_cache_lookups_total", "Answers looked for in the cache.", ["result"])
)
ROWS: Final = Children(
    Counter("pleura_journal_rows_total", "Rows kept before their answer was given.", ["where"])
)
SPOOL_BYTES: Final = Gauge("pleura_spool_bytes", "Size of the spool.")
SPOOL_ROWS: Final = Gauge("pleura_spool_rows", "Rows in the spool that wait for PostgreSQL.")
RESTARTS: Final = Counter("pleura_decoder_restarts_total", "Decoder processes that had to be replaced.")
UP: Final = Gauge("pleura_dependency_up", "Whether a part answered lately.", ["dependency"])
INVALID: Final = Children(
    Counter(
        "pleura_unusable_predictions_total",
        "Answers of the predictor that cannot be one.",
        ["model_version"],
    ),
    most=_MOST_VERSIONS,
)
_SCORES: Final = Histogram(
    "pleura_finding_score",
    "What the model said of a finding, for each radiograph that it read.",
    ["finding", "model_version"],
    buckets=_SCORE_BUCKETS,
)
_CALLS: Final = Counter(
    "pleura_finding_calls_total",
    "Radiographs that the model read on which a finding was present.",
    ["finding", "model_version"],
)
_TYPICALITY: Final = Histogram(
    "pleura_typicality",
    "How typical each radiograph was that the model read.",
    ["model_version"],
    buckets=_SCORE_BUCKETS,
)


class _OfVersion:
    """The children of one model version, resolved once: there are 29 to be counted in for each radiograph."""

    def __init__(self, version: str) -> None:
        _ = INVALID[version]  # shown as 0 before there is one
        self.typicality = _TYPICALITY.labels(version)
        self.findings = [(_SCORES.labels(name, version), _CALLS.labels(name, version)) for name in FINDINGS]


_VERSIONS: Final[dict[str, _OfVersion]] = {}


def _of_version(version: str) -> _OfVersion:
    known = _VERSIONS.get(version)
    if known is None:
        name = version if len(_VERSIONS) < _MOST_VERSIONS else _OTHER
        known = _VERSIONS.setdefault(name, _OfVersion(name))
    return known


def count_answers(answers: Sequence[Answer]) -> None:
    """Count what the model said of radiographs that it has just read."""
    for answer in answers:
        known = _of_version(answer.revision.version)
        known.typicality.observe(answer.typicality)
        values = zip(known.findings, answer.probability.tolist(), answer.present.tolist(), strict=True)
        for (scores, calls), score, is_present in values:
            scores.observe(score)
            if is_present:
                calls.inc()
