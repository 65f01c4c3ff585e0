"""What the predictor counts besides its requests; ``docs/reference/metrics.md`` says what each means."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from pleura.observability.metrics import BUCKETS_S

QUEUE: Final = Gauge("pleura_queue_radiographs", "Radiographs that wait for the model.")
BATCHES: Final = Histogram(
    "pleura_batch_radiographs",
    "Radiographs that ran together.",
    buckets=(1, 2, 4, 8, 16, 32, 64),
)
ENGINE: Final = Histogram(
    "pleura_engine_duration_seconds", "Time that the engine took for a batch.", buckets=BUCKETS_S
)
INVALID: Final = Counter(
    "pleura_invalid_answers_total", "Requests on which the model said what cannot be an answer."
)
