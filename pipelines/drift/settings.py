"""The settings of the drift step, read from the environment."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from pipelines.drift.audit_request import AuditRules
from pipelines.drift.report import DriftRules
from pleura.settings import ObjectStoreSettings, require_match


class DriftSettings(ObjectStoreSettings):
    """Everything the drift step reads from its environment.

    A setting that the transformer has too means the same here.
    """

    model_config = SettingsConfigDict(env_nested_delimiter="__")

    journal_dsn: SecretStr
    """PostgreSQL connection string of the journal; a read-only user is enough."""
    drift_bucket: str = "drift"
    """Bucket for references and reports."""
    audit_bucket: str = "audits"
    """Bucket for audit requests, which name radiographs: only auditors may read it."""
    drift_images: Annotated[int, Field(ge=0, le=10_000)] = 400
    """Radiographs of each model that are read a second time to measure them, at most; 0 for none."""
    drift_seed: int = 0
    """Seed of the choice of these radiographs."""
    drift_rules: DriftRules = DriftRules()
    """When a difference is drift, as JSON."""
    audit_rules: AuditRules = AuditRules()
    """How many radiographs an audit asks for, as JSON."""
    prometheus_url: Annotated[SecretStr, require_match(r"|https?://\S+")] = SecretStr("")
    """Prometheus, which counts the refusals; empty for none: refusals are not compared then."""
    prometheus_selector: str = 'job="transformer"'
    """Selects the transformers' series in Prometheus."""
    pushgateway_url: Annotated[SecretStr, require_match(r"|https?://\S+")] = SecretStr("")
    """Pushgateway for the gauges; empty for none."""
    drift_textfile: Path | None = None
    """File for the node exporter's textfile collector, named ``*.prom``; none if not set."""
