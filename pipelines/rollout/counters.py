"""Read the request counters of a predictor and of a transformer from their Prometheus metrics."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

import httpx
from prometheus_client.parser import text_string_to_metric_families

from pipelines.rollout.observation import RequestCounts

_INFERENCE_ROUTES: Final = ("grpc_ModelInfer", "v2_infer")
# A mistake of the caller says nothing about the revision that answered.
_SOUND_OUTCOMES: Final = ("ok", "invalid_request", "model_not_found")
_REFUSAL_OUTCOMES: Final = ("overloaded", "deadline_exceeded", "unavailable", "client_gone")
"""``client_gone``: the transformer stopped waiting."""


class ObservationUnavailable(Exception):
    """The journal or a counter cannot be read now; the message quotes no answer."""


@dataclass(frozen=True)
class RevisionCounts:
    """The counters of both revisions."""

    canary: RequestCounts
    stable: RequestCounts


class CountersSource(Protocol):
    """Where the counters of both revisions are read; raises ``ObservationUnavailable``."""

    def read(self) -> RevisionCounts: ...


def count_outcomes(outcomes: Iterable[tuple[str, str, float]]) -> RequestCounts:
    """Add up tuples of route, outcome and number of requests; only inferences count, not probes."""
    inferences = [(outcome, number) for route, outcome, number in outcomes if route in _INFERENCE_ROUTES]
    refusals = sum(number for outcome, number in inferences if outcome in _REFUSAL_OUTCOMES)
    sound = sum(number for outcome, number in inferences if outcome in _SOUND_OUTCOMES)
    requests = sum(number for _, number in inferences)
    return RequestCounts(int(requests), int(requests - refusals - sound), int(refusals))


def read_predictor_counts(metrics: str) -> RequestCounts:
    """Count the requests in the metrics of a predictor."""
    samples = [sample for family in text_string_to_metric_families(metrics) for sample in family.samples]
    outcomes = (
        (sample.labels["route"], sample.labels["outcome"], sample.value)
        for sample in samples
        if sample.name == "pleura_requests_total"
    )
    invalid = sum(sample.value for sample in samples if sample.name == "pleura_invalid_answers_total")
    return count_outcomes(outcomes).with_invalid(int(invalid))


def count_unusable_predictions(metrics: str, version: str) -> int:
    """Count, in the metrics of a transformer, the invalid answers that it got from a model version."""
    families = text_string_to_metric_families(metrics)
    samples = [sample for family in families for sample in family.samples]
    counts = (
        sample.value
        for sample in samples
        if sample.name == "pleura_unusable_predictions_total"
        and sample.labels.get("model_version") == version
    )
    return int(sum(counts))


def fetch_metrics(client: httpx.Client, url: str) -> str:
    """Fetch the metrics of a service.

    Raises:
        ObservationUnavailable: The service does not answer.
    """
    try:
        return client.get(url).raise_for_status().text
    except httpx.HTTPError as error:
        reason = f"the counters at {url} cannot be read ({type(error).__name__})"
        raise ObservationUnavailable(reason) from error
