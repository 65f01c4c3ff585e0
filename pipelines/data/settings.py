"""The settings of the commands on data sets. No other module of this package reads the environment."""

from pathlib import Path

from pydantic import SecretStr

from pleura.settings import ObjectStoreSettings


class DataSettings(ObjectStoreSettings):
    """Everything that the commands on data sets read from the environment."""

    data_bucket: str = "datasets"
    """Bucket of the data sets."""
    data_cache: Path = Path(".cache/radiographs")
    """Folder that caches the radiographs."""
    mlflow_uri: SecretStr = SecretStr("")
    """Tracking URI of MLflow; empty to register nothing."""
    journal_dsn: SecretStr = SecretStr("")
    """PostgreSQL connection string of the journal, to build from it."""
