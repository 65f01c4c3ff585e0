"""What work on data sets reads from its environment; no other module of it does."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class DataSettings(BaseSettings):
    """Everything that work on data sets reads from its environment."""

    model_config = SettingsConfigDict(
        env_prefix="PLEURA_", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )

    s3_url: str = Field(pattern=r"^https?://[^/\s]+/?$")
    """Where the object store answers."""
    s3_access_key: str
    """Access key of the object store."""
    s3_secret_key: SecretStr
    """Secret key of the object store."""
    s3_region: str = "us-east-1"
    """Region of the object store."""
    s3_bucket: str = "radiographs"
    """Bucket that holds the radiographs that were answered."""
    data_bucket: str = "datasets"
    """Bucket that holds data sets."""
    data_cache: Path = Path(".cache/radiographs")
    """Folder that keeps radiographs that were fetched."""
    mlflow_url: str = ""
    """Tracking URI of MLflow; empty to register nothing."""
    journal_dsn: SecretStr = SecretStr("")
    """PostgreSQL connection string of the journal, to build from it."""
