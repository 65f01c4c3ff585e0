"""Read the counters of both revisions from the Prometheus of a cluster, where each revision has many pods.

A predictor's counters do not name its model; ``pleura_model_info`` of the same pod does.
"""

from dataclasses import dataclass
from typing import Any, Final

import httpx

from pipelines.rollout.counters import ObservationUnavailable, RevisionCounts, count_outcomes
from pipelines.rollout.observation import RequestCounts
from pipelines.rollout.target import ModelChange

_REQUEST_TIMEOUT_S: Final = 10.0
_OF_VERSION: Final = (
    "* on (instance) group_left () "
    '(pleura_model_info{{model_version="{version}"}} '
    'and on (instance) pleura_build_info{{service="predictor"}})'
)
_REQUESTS: Final = f"sum by (route, outcome) (pleura_requests_total {_OF_VERSION})"
_INVALID: Final = (
    f"sum (pleura_invalid_answers_total {_OF_VERSION})",
    'sum (pleura_unusable_predictions_total{{model_version="{version}"}})',  # found by transformers
)


@dataclass(frozen=True)
class PrometheusCounters:
    """Read the counters by model version, which must differ between champion and challenger."""

    url: str
    change: ModelChange

    def read(self) -> RevisionCounts:
        """Read the counters.

        Raises:
            ObservationUnavailable: Prometheus does not answer, or both models have the same version.
        """
        versions = self.change.challenger.version, self.change.champion.version
        # Metrics know versions and no digests, unlike the journal.
        if versions[0] == versions[1]:
            raise ObservationUnavailable(
                "champion and challenger have the same version: their counters cannot be told apart"
            )
        with httpx.Client(base_url=self.url, timeout=_REQUEST_TIMEOUT_S, trust_env=False) as client:
            canary, stable = (self._read_counts(client, version) for version in versions)
        return RevisionCounts(canary, stable)

    def _read_counts(self, client: httpx.Client, version: str) -> RequestCounts:
        samples = _query(client, _REQUESTS.format(version=version))
        outcomes = [
            (sample["metric"]["route"], sample["metric"]["outcome"], _read_value(sample))
            for sample in samples
        ]
        invalid = [sample for query in _INVALID for sample in _query(client, query.format(version=version))]
        return count_outcomes(outcomes).with_invalid(int(sum(_read_value(sample) for sample in invalid)))


def _query(client: httpx.Client, query: str) -> list[dict[str, Any]]:
    try:
        answer = client.get("/api/v1/query", params={"query": query}).raise_for_status().json()
        result: list[dict[str, Any]] = answer["data"]["result"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise ObservationUnavailable(f"Prometheus does not answer ({type(error).__name__})") from error
    return result


def _read_value(sample: dict[str, Any]) -> float:
    return float(sample["value"][1])
