"""How many radiographs were refused in a time: the journal holds answers only, Prometheus the refusals."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

REASONS: Final = ("refused_radiograph", "unreadable_radiograph", "too_large")
"""What is refused for the radiograph's own sake; an expired token says nothing of patients."""
_TIMEOUT_S: Final = 10.0


class RefusalCountsUnavailable(Exception):
    """Prometheus does not answer, or not sensibly."""


def read_refusal_counts(url: str, selector: str, since: datetime, until: datetime) -> Mapping[str, int]:
    """Ask Prometheus for the transformers' refusals of radiographs, by reason.

    Args:
        url: ``http://host:port`` of Prometheus, or of what speaks its HTTP API; from our own settings.
        selector: What tells the transformers' series from the proxy's, which counts the same refusals once
            more, as ``job="transformer"``.
        since: When the window begins.
        until: When it ends.

    Returns:
        A count for each of ``REASONS``: 0 where it did not happen, so that it may be compared.

    Raises:
        RefusalsUnknown: There is no telling; which is not to say that there were none.

    Source:
        Prometheus, "HTTP API", instant queries; ``increase`` extrapolates, hence the rounding.
    """
    seconds = int((until - since).total_seconds())
    query = f"sum by (reason) (increase(pleura_refusals_total{{{selector}}}[{seconds}s]))"
    asked = urlencode({"query": query, "time": until.timestamp()})
    try:
        with urlopen(f"{url.rstrip('/')}/api/v1/query?{asked}", timeout=_TIMEOUT_S) as response:  # noqa: S310
            counts = _counts(json.load(response))
    except (URLError, OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise RefusalCountsUnavailable(
            f"Prometheus does not answer sensibly: {type(error).__name__}"
        ) from None
    return {reason: counts.get(reason, 0) for reason in REASONS}


def _counts(answer: Any) -> dict[str, int]:
    if answer["status"] != "success":
        raise ValueError("no success")
    return {each["metric"]["reason"]: round(float(each["value"][1])) for each in answer["data"]["result"]}
