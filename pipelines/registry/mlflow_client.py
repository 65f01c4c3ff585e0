"""The client of MLflow: without telemetry, without files of its own, with one line per failure.

Pleura reads only names, tags, parameters and figures from MLflow. It loads no code and no pickle from there.
"""

import contextlib
import logging
import os
import re
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mlflow import MlflowClient

_ENVIRONMENT: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # MLflow's default of 7 takes four minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
}


_SQLITE: Final = "sqlite:///"


class RegistryUnavailable(Exception):
    """MLflow does not answer, or refuses a call that no caller can correct."""


def connect_mlflow(uri: str) -> "MlflowClient":
    """Connect to an MLflow server, or to a SQLite file (``sqlite:///...``), which is made if it is missing.

    MLflow is imported here, after its environment is set: the import takes seconds and starts telemetry.

    Raises:
        RegistryUnavailable: The URI names no database that can be opened.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of MLflow's use of SQLAlchemy
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # it logs the traceback of what it raises
        try:
            if uri.startswith(_SQLITE):
                _make_database(Path(uri.removeprefix(_SQLITE)))
            return MlflowClient(tracking_uri=uri, registry_uri=uri)
        except Exception as error:  # of SQLAlchemy, sqlite3, alembic or MLflow
            address = re.sub("//[^/]*@", "//", uri)  # without the password
            raise RegistryUnavailable(
                f"the registry {address} cannot be opened: {_first_line(error)}"
            ) from error


def _make_database(path: Path) -> None:
    """Let MLflow make its tables in a draft, and link the draft to ``path`` when all tables are there.

    Two processes that make tables in one file fail with "duplicate column name: step".
    """
    from mlflow import MlflowClient

    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        draft = Path(folder).resolve() / path.name
        MlflowClient(tracking_uri=f"{_SQLITE}{draft}", registry_uri=f"{_SQLITE}{draft}")
        with contextlib.suppress(FileExistsError):  # another process was first
            path.hardlink_to(draft)


@contextlib.contextmanager
def mlflow_call(*expected: str) -> Iterator[None]:
    """Turn the errors of MLflow into RegistryUnavailable, except those with an ``expected`` error code."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code in expected:
            raise
        raise RegistryUnavailable(f"the registry does not answer: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0].split(" with exception ", 1)[0][:200]
