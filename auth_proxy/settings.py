"""The settings of the auth proxy."""

from collections.abc import Mapping

from pydantic import AnyHttpUrl, Field

from pleura.settings import Port, ServiceSettings


class AuthProxySettings(ServiceSettings):
    """Everything that the auth proxy reads from its environment."""

    http_port: Port = 8000
    """Port of REST."""
    grpc_port: Port = 8001
    """Port of V2 over gRPC."""
    metrics_port: Port | None = None
    """Port of ``/metrics``, which callers need not reach. Without a port there are no metrics."""
    transformer_url: AnyHttpUrl
    """Address of the transformer for REST, without a path."""
    transformer_grpc: str = Field(pattern=r"^[A-Za-z0-9.\[\]:-]+:\d{1,5}$")
    """Address of the transformer for gRPC, host:port."""
    issuer: str = Field(min_length=1)
    """The only issuer whose tokens are accepted, exactly as it stands in ``iss``."""
    audience: str = Field(min_length=1)
    """The name of this service in the ``aud`` of a token."""
    jwks_url: AnyHttpUrl
    """Address at which the issuer publishes its keys (JWKS)."""
    max_body_mb: int = Field(default=64, ge=1, le=1024)
    """Largest body of a request, in MiB."""
    max_in_flight: int = Field(default=64, ge=1, le=4096)
    """Most requests in flight. The proxy refuses any further request with 503."""
    patience_s: float = Field(default=2.0, gt=0, le=600)
    """Seconds that an answer should take at most. When answers take longer, fewer requests are let in."""
    rate_per_s: float = Field(default=50.0, gt=0)
    """Requests per second that one principal may send on average."""
    burst: int = Field(default=100, ge=1)
    """Requests that one principal may send at once after a pause."""
    timeout_s: float = Field(default=15.0, gt=0, le=600)
    """Longest time from the head of a request to the end of its answer. The time to send the body counts."""
    leeway_s: int = Field(default=30, ge=0, le=60)
    """Seconds that the issuer's clock may be off."""

    def ports(self) -> Mapping[str, int]:
        """Return each port that the proxy listens on, by the environment variable that sets it."""
        ports = super().ports()
        return ports if self.metrics_port is None else {**ports, "PLEURA_METRICS_PORT": self.metrics_port}

    @property
    def max_body_bytes(self) -> int:
        """Largest body of a request, in bytes."""
        return self.max_body_mb * 2**20
