"""The counters of both revisions on a cluster, where each has many pods: asked of Prometheus.

A predictor's counters do not name its model; ``pleura_model_info`` of the same pod does.
"""

from dataclasses import dataclass
from typing import Any, Final

import httpx

from pipelines.rollout.counters import ObservationUnavailable, RevisionCounts, count_outcomes
from pipelines.rollout.observation import RequestCounts
from pipelines.rollout.target import ModelChange

_ASK_S: Final = 10.0
_OF_VERSION: Final = (
    "* on (instance) group_left () "
    '(pleura_model_info{{model_version="{version}"}} '
    'and on (instance) pleura_build_info{{service="predictor"}})'
)
_REQUESTS: Final = f"sum by (route, outcome) (pleura_requests_total {_OF_VERSION})"
_INVALID: Final = (
    f"sum (pleura_invalid_answers_total {_OF_VERSION})",
    'sum (pleura_unusable_predictions_total{{model_version="{version}"}})',  # what transformers found
)


@dataclass(frozen=True)
class PrometheusCounters:
    """Counters by model version, which must differ between champion and challenger."""

    url: str
    change: ModelChange

    def read(self) -> RevisionCounts:
        """Ask for them.

        Raises:
            Unseen: Prometheus does not answer, or both models have one version.
        """
        versions = self.change.challenger.version, self.change.champion.version
        if versions[0] == versions[1]:
            raise ObservationUnavailable(
                "champion and challenger have the same version: their counters cannot be told apart"
            )
        with httpx.Client(base_url=self.url, timeout=_ASK_S, trust_env=False) as client:
            canary, stable = (self._counted(client, version) for version in versions)
        return RevisionCounts(canary, stable)

    def _counted(self, client: httpx.Client, version: str) -> RequestCounts:
        found = _query(client, _REQUESTS.format(version=version))
        outcomes = [(each["metric"]["route"], each["metric"]["outcome"], _value(each)) for each in found]
        invalid = [_query(client, query.format(version=version)) for query in _INVALID]
        return count_outcomes(outcomes).with_invalid(
            int(sum(_value(each) for one in invalid for each in one))
        )


def _query(client: httpx.Client, query: str) -> list[dict[str, Any]]:
    try:
        answer = client.get("/api/v1/query", params={"query": query}).raise_for_status().json()
        result: list[dict[str, Any]] = answer["data"]["result"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise ObservationUnavailable(f"Prometheus does not answer ({type(error).__name__})") from error
    return result


def _value(sample: dict[str, Any]) -> float:
    return float(sample["value"][1])
