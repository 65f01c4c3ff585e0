"""Counts of refused radiographs from Prometheus, because the journal holds answers only."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

REASONS: Final = ("refused_radiograph", "unreadable_radiograph", "too_large")
"""Refusals because of the radiograph itself; an expired token says nothing about patients."""
_TIMEOUT_S: Final = 10.0


class RefusalCountsUnavailable(Exception):
    """Prometheus does not answer, or its answer cannot be read."""


def read_refusal_counts(url: str, selector: str, since: datetime, until: datetime) -> Mapping[str, int]:
    """Ask Prometheus for the transformers' refusals of radiographs, by reason.

    Args:
        url: ``http://host:port`` of Prometheus, or of a server with the same HTTP API; from our own settings.
        selector: Selects the transformers' series, such as ``job="transformer"``. The proxy counts the same
            refusals once more.
        since: Start of the window.
        until: End of the window.

    Returns:
        A count for each of ``REASONS``; 0 if it did not happen.

    Raises:
        RefusalCountsUnavailable: The counts are unknown. There may have been refusals.

    Source:
        Prometheus, "HTTP API", instant queries; ``increase`` extrapolates, hence the rounding.
    """
    seconds = int((until - since).total_seconds())
    query = f"sum by (reason) (increase(pleura_refusals_total{{{selector}}}[{seconds}s]))"
    parameters = urlencode({"query": query, "time": until.timestamp()})
    try:
        with urlopen(f"{url.rstrip('/')}/api/v1/query?{parameters}", timeout=_TIMEOUT_S) as response:  # noqa: S310
            counts = _counts(json.load(response))
    except (URLError, OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise RefusalCountsUnavailable(
            f"Prometheus gave no readable answer: {type(error).__name__}"
        ) from None
    return {reason: counts.get(reason, 0) for reason in REASONS}


def _counts(answer: Any) -> dict[str, int]:
    if answer["status"] != "success":
        raise ValueError("the query failed")
    return {each["metric"]["reason"]: round(float(each["value"][1])) for each in answer["data"]["result"]}
