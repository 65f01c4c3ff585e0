"""What the drift step reads from its environment; no other module of it does."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from pipelines.drift.audit_request import AuditRules
from pipelines.drift.report import DriftRules
from pleura.settings import ObjectStoreSettings


class DriftSettings(ObjectStoreSettings):
    """Everything the drift step reads from its environment; what the transformer has too means the same."""

    model_config = SettingsConfigDict(env_nested_delimiter="__")

    journal_dsn: SecretStr
    """PostgreSQL connection string of the journal; a user that may only read is enough."""
    drift_bucket: str = "drift"
    """Bucket for references and reports."""
    audit_bucket: str = "audits"
    """Bucket for audit requests, which name radiographs: only those who audit may read it."""
    drift_images: Annotated[int, Field(ge=0, le=10_000)] = 400
    """Radiographs of each model that are read again to measure them, at most; 0 for none."""
    drift_seed: int = 0
    """Seed of which radiographs these are."""
    drift_rules: DriftRules = DriftRules()
    """When a difference is drift, as JSON."""
    audit_rules: AuditRules = AuditRules()
    """How much an audit asks for, as JSON."""
    prometheus_url: str = Field(default="", pattern=r"^$|^https?://[^\s]+$")
    """Prometheus, which knows the refusals; empty for none: they are not compared then."""
    prometheus_selector: str = 'job="transformer"'
    """What tells the transformers' series from the proxy's."""
    pushgateway_url: str = Field(default="", pattern=r"^$|^https?://[^\s]+$")
    """Pushgateway for the gauges; empty for none."""
    drift_textfile: Path | None = None
    """File for the node exporter's textfile collector, named ``*.prom``; none if not set."""
