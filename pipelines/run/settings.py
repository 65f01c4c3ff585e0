"""What the steps of the pipeline read from their environment; no other module of them does."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from pleura.settings import ObjectStoreSettings


class Settings(ObjectStoreSettings):
    """Everything that a step reads from its environment; on Kubernetes from secrets."""

    data_bucket: str = "datasets"
    """Bucket of the data sets."""
    models_bucket: str = "models"
    """Bucket of bundles, reports, decisions and of what the steps of a run left."""
    mlflow_uri: str
    """Registry of models: an MLflow server, or sqlite:///FILE."""
    journal_dsn: SecretStr
    """PostgreSQL connection string of the journal."""
    decision_key_file: Path
    """Private Ed25519 key, as PEM, that decisions are signed with."""
    work: Path
    """Folder for checkpoints and downloads; kept between steps, and after a step that died."""
    target: Literal["stack", "kserve"] = "kserve"
    """What serves the models: the stack of this machine, or an InferenceService."""
    stack: Path = Path(".pleura")
    """State folder of the stack of this machine."""
    namespace: str = "pleura"
    """Namespace of the InferenceService."""
    inference_service: str = "chest-xray"
    """Name of the InferenceService."""
    prometheus_url: str = ""
    """Prometheus of the cluster, which counts what both revisions of an InferenceService do."""
    code_version: str = Field(default="unknown", min_length=1, max_length=200)
    """Commit, or image digest, of this code."""
