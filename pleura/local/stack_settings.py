"""The settings with which another process reaches the parts of the local stack."""

from collections.abc import Mapping
from pathlib import Path

from pleura.local.state_folder import StackRecord


def read_stack_settings(state: Path, record: StackRecord) -> Mapping[str, str]:
    """Return the variables that name the object store, the model registry and the journal of a stack.

    PLEURA_JOURNAL_DSN is missing where the stack uses a PostgreSQL server of the user: the state folder does
    not hold the password of that server.
    """
    settings = {
        "PLEURA_S3_URL": record.store["url"],
        "PLEURA_S3_ACCESS_KEY": record.store["access_key"],
        "PLEURA_S3_SECRET_KEY": record.store["secret_key"],
        "PLEURA_MLFLOW_URI": f"sqlite:///{state / 'mlflow.db'}",
    }
    if "postgres" in record.parts:
        password = (state / "postgres" / "password").read_text()
        settings["PLEURA_JOURNAL_DSN"] = f"postgresql://pleura:{password}@{record.parts['postgres'].url}"
    return settings
