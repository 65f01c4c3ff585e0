"""Metrics of the predictor, in addition to those of its requests; see ``docs/reference/metrics.md``."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from pleura.observability.metrics import BUCKETS_S

QUEUE: Final = Gauge("pleura_queue_radiographs", "Radiographs that wait for the model.")
BATCHES: Final = Histogram(
    "pleura_batch_radiographs",
    "Radiographs in one batch.",
    buckets=(1, 2, 4, 8, 16, 32, 64),
)
ENGINE: Final = Histogram(
    "pleura_engine_duration_seconds", "Time of the engine for one batch.", buckets=BUCKETS_S
)
INVALID: Final = Counter(
    "pleura_invalid_answers_total", "Requests for which the model returned invalid outputs."
)
