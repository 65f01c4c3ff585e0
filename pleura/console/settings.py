"""The settings that the command ``pleura`` reads from its environment."""

from pathlib import Path

from pydantic import SecretStr

from pleura.console.output import one_line_errors
from pleura.settings import InvalidSettings, PleuraSettings


class ConsoleSettings(PleuraSettings):
    """Everything that the command ``pleura`` reads from its environment; options take precedence."""

    home: Path | None = None
    """State folder of the one-machine stack; without it the command looks for one."""
    bundle: Path | None = None
    """Model bundle to serve; without it the stack builds one from the weights that come with Pleura."""
    url: str | None = None
    """Address of the Pleura that answers; without it the address of the local stack."""
    token: SecretStr | None = None
    """Bearer token; without it the issuer of the local stack makes one."""
    s3_access_key: SecretStr | None = None
    """Access key of the S3 server that --s3 names."""
    s3_secret_key: SecretStr | None = None
    """Secret key of the S3 server that --s3 names."""
    mlflow_uri: SecretStr | None = None
    """Model registry: an MLflow server or sqlite:///FILE; without it a file of the state folder."""
    journal_dsn: SecretStr | None = None
    """PostgreSQL connection string of the journal, for a stack that was started with --postgres."""
    models_bucket: str = "models"
    """Bucket that holds the model bundles."""
    kfp_token: SecretStr | None = None
    """Token for the Kubeflow Pipelines server of ``pleura pipeline submit``."""


def reveal(secret: SecretStr | None) -> str | None:
    """Return the text of a secret; None where the secret is not set."""
    return secret.get_secret_value() if secret else None


def read_settings() -> ConsoleSettings:
    """Read the settings of the command.

    Raises:
        CommandFailed: A variable has a wrong value.
    """
    with one_line_errors(InvalidSettings):
        return ConsoleSettings.read()
