"""What work on data sets reads from its environment; no other module of it does."""

from pathlib import Path

from pydantic import SecretStr

from pleura.settings import ObjectStoreSettings


class DataSettings(ObjectStoreSettings):
    """Everything that work on data sets reads from its environment."""

    data_bucket: str = "datasets"
    """Bucket that holds data sets."""
    data_cache: Path = Path(".cache/radiographs")
    """Folder that keeps radiographs that were fetched."""
    mlflow_uri: str = ""
    """Tracking URI of MLflow; empty to register nothing."""
    journal_dsn: SecretStr = SecretStr("")
    """PostgreSQL connection string of the journal, to build from it."""
