"""Everything that the auth proxy reads from its environment."""

from collections.abc import Mapping

from pydantic import AnyHttpUrl, Field

from pleura.settings import Port, ServiceSettings


class AuthProxySettings(ServiceSettings):
    """Everything that the auth proxy reads from its environment."""

    http_port: Port = 8000
    """Port of REST and of the two plain routes."""
    grpc_port: Port = 8001
    """Port of V2 over gRPC."""
    metrics_port: Port | None = None
    """Port of ``/metrics``, apart from what callers reach; none where there is none."""
    transformer_url: AnyHttpUrl
    """Where the transformer answers REST, without a path."""
    transformer_grpc: str = Field(pattern=r"^[A-Za-z0-9.\[\]:-]+:\d{1,5}$")
    """Where the transformer answers gRPC, host:port."""
    issuer: str = Field(min_length=1)
    """The only issuer whose tokens count, exactly as ``iss`` has it."""
    audience: str = Field(min_length=1)
    """The name of this service in ``aud``."""
    jwks_url: AnyHttpUrl
    """Where the issuer publishes its keys."""
    max_body_mb: int = Field(default=64, ge=1, le=1024)
    """Largest body of a request."""
    max_in_flight: int = Field(default=64, ge=1, le=4096)
    """Requests forwarded at once, at most; what comes on top is turned away."""
    patience_s: float = Field(default=2.0, gt=0, le=600)
    """Seconds that an answer should take at most; where answers take longer, fewer requests are let in."""
    rate_per_s: float = Field(default=50.0, gt=0)
    """Requests that one principal may send each second, on the long run."""
    burst: int = Field(default=100, ge=1)
    """Requests that one principal may send at once after a rest."""
    timeout_s: float = Field(default=15.0, gt=0, le=600)
    """Longest time from a request's head to the end of its answer, sending the body included."""
    leeway_s: int = Field(default=30, ge=0, le=60)
    """How far the issuer's clock may be off."""

    def ports(self) -> Mapping[str, int]:
        """Return each port that the proxy listens on, by the environment variable that sets it."""
        ports = super().ports()
        return ports if self.metrics_port is None else {**ports, "PLEURA_METRICS_PORT": self.metrics_port}

    @property
    def max_body_bytes(self) -> int:
        """The largest body of a request."""
        return self.max_body_mb * 2**20
