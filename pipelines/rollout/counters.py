"""The counters of the predictors and of the transformer: what they mean for a rollout."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

import httpx
from prometheus_client.parser import text_string_to_metric_families

from pipelines.rollout.observation import RequestCounts

_ROUTES: Final = ("grpc_ModelInfer", "v2_infer")
_SOUND: Final = ("ok", "invalid_request", "model_not_found")
_REFUSALS: Final = ("overloaded", "deadline_exceeded", "unavailable", "client_gone")
"""``client_gone``: the transformer did not wait any longer."""


class ObservationUnavailable(Exception):
    """The journal or a counter cannot be read just now; the message names no answer."""


@dataclass(frozen=True)
class RevisionCounts:
    """The counters of both revisions."""

    canary: RequestCounts
    stable: RequestCounts


class CountersSource(Protocol):
    """Where the counters of both revisions are read."""

    def read(self) -> RevisionCounts: ...


def count_outcomes(outcomes: Iterable[tuple[str, str, float]]) -> RequestCounts:
    """Add up requests by route, outcome and number: inferences count, probes do not."""
    asked = [(outcome, number) for route, outcome, number in outcomes if route in _ROUTES]
    refusals = sum(number for outcome, number in asked if outcome in _REFUSALS)
    sound = sum(number for outcome, number in asked if outcome in _SOUND)
    requests = sum(number for _, number in asked)
    return RequestCounts(int(requests), int(requests - refusals - sound), int(refusals))


def read_predictor_counts(metrics: str) -> RequestCounts:
    """Add up what a predictor's metrics say of its requests."""
    samples = [sample for family in text_string_to_metric_families(metrics) for sample in family.samples]
    outcomes = (
        (sample.labels["route"], sample.labels["outcome"], sample.value)
        for sample in samples
        if sample.name == "pleura_requests_total"
    )
    invalid = sum(sample.value for sample in samples if sample.name == "pleura_invalid_answers_total")
    return count_outcomes(outcomes).with_invalid(int(invalid))


def count_unusable_predictions(metrics: str, version: str) -> int:
    """What a transformer's metrics say of a version's answers that cannot be one."""
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
    """Fetch a service's metrics.

    Raises:
        Unseen: It does not answer.
    """
    try:
        return client.get(url).raise_for_status().text
    except httpx.HTTPError as error:
        raise ObservationUnavailable(
            f"the counters at {url} cannot be read ({type(error).__name__})"
        ) from error
