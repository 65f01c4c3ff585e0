"""MLflow, asked quietly: no telemetry, no files written here, one line where it fails.

Nothing that MLflow stores is ever loaded as code or as a pickle: only names, tags, parameters and figures.
"""

import contextlib
import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mlflow import MlflowClient

_QUIETLY: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # it logs tracebacks of what it then raises
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # its own seven take four minutes to say that a server is down
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
}


class RegistryUnavailable(Exception):
    """MLflow does not answer, or refuses what no caller can mend."""


def connect(uri: str) -> "MlflowClient":
    """A client of an MLflow server, or of its SQLite file (``sqlite:///...``), which is made where missing.

    MLflow is imported here: it reads its environment then, takes seconds, and sends telemetry unless told.

    Raises:
        RegistryUnavailable: The URI names no database that can be opened.
    """
    for name, value in _QUIETLY.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # its own use of SQLAlchemy and pydantic
        from mlflow import MlflowClient

        try:
            return MlflowClient(tracking_uri=uri, registry_uri=uri)
        except Exception as error:  # SQLAlchemy's, sqlite3's, alembic's and MLflow's own, by what is wrong
            raise RegistryUnavailable(f"the registry {uri} cannot be opened: {_first_line(error)}") from error


@contextlib.contextmanager
def asked(*expected: str) -> Iterator[None]:
    """Ask MLflow; a failure whose error code is ``expected`` is let through, any other is Unavailable."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code in expected:
            raise
        raise RegistryUnavailable(f"the registry does not answer: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:200]
