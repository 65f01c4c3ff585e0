"""The settings of the pipeline's steps; no other module of them reads the environment."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from pleura.settings import ObjectStoreSettings


class Settings(ObjectStoreSettings):
    """Everything that a step reads from its environment; on Kubernetes the values come from secrets."""

    data_bucket: str = "datasets"
    """Bucket of the data sets."""
    models_bucket: str = "models"
    """Bucket of bundles, reports, decisions and the records of runs."""
    mlflow_uri: SecretStr
    """Registry of models: the URL of an MLflow server, or sqlite:///FILE."""
    journal_dsn: SecretStr
    """PostgreSQL connection string of the journal."""
    decision_key_file: Path
    """File with the private Ed25519 key, as PEM, that signs decisions."""
    work: Path
    """Folder for checkpoints and downloads; it is kept between steps, and after a step whose process died."""
    target: Literal["stack", "kserve"] = "kserve"
    """What serves the models: the stack of this machine, or an InferenceService."""
    stack: Path = Path(".pleura")
    """State folder of the stack of this machine."""
    namespace: str = "pleura"
    """Namespace of the InferenceService."""
    inference_service: str = "chest-xray"
    """Name of the InferenceService."""
    prometheus_url: SecretStr = SecretStr("")
    """URL of the cluster's Prometheus, which counts the requests of both revisions."""
    code_version: str = Field(default="unknown", min_length=1, max_length=200)
    """Commit or image digest of this code."""
