"""The settings of the auth proxy."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    AnyHttpUrl,
    BeforeValidator,
    Field,
    model_validator,
)
from pydantic_settings import NoDecode

from auth_proxy.issuer_settings import (
    ALGORITHMS_PATTERN,
    CLAIMS_PATTERN,
    AudienceClaim,
    IssuerEntries,
    ScopeMap,
    read_issuer_entries,
    require_certificates,
)
from auth_proxy.tokens.key_set import DEFAULT_ALGORITHMS
from auth_proxy.tokens.trust import DEFAULT_SCOPE_CLAIMS
from pleura.allowed_hosts import AllowedHosts
from pleura.settings import HostNames, Port, ServiceSettings

# as browsers write it: in small letters, without a path
_ORIGIN: Final = r"^https?://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::\d{1,5})?$"


def _split_at_commas(value: object) -> object:
    return [each.strip() for each in value.split(",") if each.strip()] if isinstance(value, str) else value


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
    issuer: str | None = Field(default=None, min_length=1, max_length=512)
    """The only issuer whose tokens are accepted, exactly as it stands in ``iss``.

    It is required, unless ``PLEURA_ISSUERS`` is set.
    """
    audience: str | None = Field(default=None, min_length=1)
    """The name of this service in the ``aud`` of a token. It is required, unless each issuer has its own."""
    jwks_url: AnyHttpUrl | None = None
    """Address at which the issuer publishes its keys (JWKS). By default the proxy asks the issuer for it."""
    issuers: Annotated[IssuerEntries, NoDecode, BeforeValidator(read_issuer_entries)] = ()
    """Several issuers, instead of ``PLEURA_ISSUER``: a JSON list, or the path of a file that holds it."""
    audience_claim: AudienceClaim = "aud"
    """The claim that holds the audience. Access tokens of Cognito have no ``aud``."""
    algorithms: str = Field(default=",".join(sorted(DEFAULT_ALGORITHMS)), pattern=ALGORITHMS_PATTERN)
    """Allowed algorithms, with commas between them: RS, PS and ES with 256, 384 or 512, and EdDSA."""
    scope_claims: str = Field(default=",".join(DEFAULT_SCOPE_CLAIMS), pattern=CLAIMS_PATTERN)
    """Claims that may hold the scopes, with commas between them. The first one that a token has counts."""
    scope_map: ScopeMap = Field(default_factory=dict)
    """What words of the issuer mean: ``{"word": "scope"}`` or ``{"word": ["scope", "scope"]}``."""
    ca_file: Annotated[
        Path | None, BeforeValidator(lambda value: value or None), AfterValidator(require_certificates)
    ] = Field(default=None, validation_alias=AliasChoices("PLEURA_CA_FILE", "SSL_CERT_FILE"))
    """Certificates of private authorities (PEM) that sign for an issuer. ``SSL_CERT_FILE`` does the same."""
    cors_origins: Annotated[
        tuple[Annotated[str, Field(pattern=_ORIGIN)], ...], NoDecode, BeforeValidator(_split_at_commas)
    ] = ()
    """Web pages whose scripts may send requests (CORS), for example ``https://viewer.hospital.example``.

    Separate origins by commas. The default is none. A wildcard is refused.
    """
    allowed_hosts: HostNames = ""
    """Host names by which callers may reach the proxy, with commas between them; empty for any name.

    ``.name`` allows all names below. IP addresses, ``localhost``, the machine's own name and names that end
    in ``.svc`` or ``.svc.cluster.local`` are always allowed. The port of metrics allows no other name, also
    where this is empty.
    """
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

    @model_validator(mode="after")
    def _require_an_issuer(self) -> Self:
        if self.issuers and (self.issuer or self.jwks_url):
            raise ValueError("PLEURA_ISSUERS cannot be combined with PLEURA_ISSUER or PLEURA_JWKS_URL")
        if not self.issuers and not self.issuer:
            raise ValueError("PLEURA_ISSUER or PLEURA_ISSUERS is required")
        if not self.audience and not (self.issuers and all(entry.audience for entry in self.issuers)):
            raise ValueError("PLEURA_AUDIENCE is required")
        if self.issuer and self.jwks_url is None and not self.issuer.startswith(("https://", "http://")):
            raise ValueError("PLEURA_JWKS_URL is required, since PLEURA_ISSUER is not a URL")
        return self

    def ports(self) -> Mapping[str, int]:
        """Return each port that the proxy listens on, by the environment variable that sets it."""
        ports = super().ports()
        return ports if self.metrics_port is None else {**ports, "PLEURA_METRICS_PORT": self.metrics_port}

    @property
    def public_hosts(self) -> AllowedHosts | None:
        """The host names by which callers may reach the proxy; None for any."""
        return self.hosts if self.allowed_hosts else None

    @property
    def max_body_bytes(self) -> int:
        """Largest body of a request, in bytes."""
        return self.max_body_mb * 2**20
