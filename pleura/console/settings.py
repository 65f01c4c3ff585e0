"""What the command ``pleura`` reads from its environment."""

from pathlib import Path

from pydantic import SecretStr

from pleura.settings import PleuraSettings


class Settings(PleuraSettings):
    """What the command ``pleura`` reads from its environment; flags of the command line come first."""

    home: Path = Path(".pleura")
    """State folder of the one-machine stack."""
    bundle: Path | None = None
    """Model bundle to serve; without it one is built from the committed weights."""
    url: str | None = None
    """Address of the Pleura to ask; without it that of the state folder."""
    token: SecretStr | None = None
    """Bearer token to ask with; without it one of the state folder's issuer."""
    s3_access_key: str | None = None
    """Access key of the server given with --s3."""
    s3_secret_key: SecretStr | None = None
    """Secret key of the server given with --s3."""
    mlflow_uri: str | None = None
    """Registry of models, an MLflow server or sqlite:///FILE; without it a file of the state folder."""
    journal_dsn: SecretStr | None = None
    """PostgreSQL connection string of the journal, for pipeline runs on a stack that was given --postgres."""
    models_bucket: str = "models"
    """Bucket of the model bundles."""
