"""Metrics of the proxy, besides those that every service has. ``docs/reference/metrics.md`` explains each."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from pleura.observability.metrics import BUCKETS_S, Children

TOKEN_REFUSALS: Final = Children(
    Counter("pleura_token_refusals_total", "Tokens that were not believed, or not enough.", ["reason"])
)
KEY_FETCHES: Final = Children(
    Counter("pleura_jwks_fetches_total", "Fetches of the issuer's keys.", ["outcome"])
)
KEY_AGE: Final = Gauge("pleura_jwks_age_seconds", "Time since the issuer's keys were last fetched.")
UPSTREAM: Final = Children(
    Histogram(
        "pleura_upstream_duration_seconds",
        "Time until the transformer's answer began (REST), or had come (gRPC).",
        ["protocol"],
        buckets=BUCKETS_S,
    )
)
