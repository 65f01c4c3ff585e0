"""MLflow, asked quietly: no telemetry, no files written here, one line where it fails.

Nothing that MLflow stores is ever loaded as code or as a pickle: only names, tags, parameters and figures.
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

_QUIETLY: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # its own seven take four minutes to say that a server is down
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
}


_SQLITE: Final = "sqlite:///"


class RegistryUnavailable(Exception):
    """MLflow does not answer, or refuses what no caller can mend."""


def connect_mlflow(uri: str) -> "MlflowClient":
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

        logging.getLogger("mlflow").setLevel(logging.CRITICAL)  # it logs tracebacks of what it then raises
        try:
            if uri.startswith(_SQLITE):
                _make_database(Path(uri.removeprefix(_SQLITE)))
            return MlflowClient(tracking_uri=uri, registry_uri=uri)
        except Exception as error:  # SQLAlchemy's, sqlite3's, alembic's and MLflow's own, by what is wrong
            where = re.sub("//[^/]*@", "//", uri)  # without the password
            raise RegistryUnavailable(
                f"the registry {where} cannot be opened: {_first_line(error)}"
            ) from error


def _make_database(path: Path) -> None:
    """Let MLflow make its tables in a file that appears only when they are all there.

    Two processes that make them in one file get in each other's way: "duplicate column name: step" (tried).
    """
    from mlflow import MlflowClient

    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        draft = Path(folder).resolve() / path.name
        MlflowClient(tracking_uri=f"{_SQLITE}{draft}", registry_uri=f"{_SQLITE}{draft}")
        with contextlib.suppress(FileExistsError):  # somebody else's appeared first, and stays
            path.hardlink_to(draft)


@contextlib.contextmanager
def mlflow_call(*expected: str) -> Iterator[None]:
    """Ask MLflow; a failure whose error code is ``expected`` is let through, any other is Unavailable."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code in expected:
            raise
        raise RegistryUnavailable(f"the registry does not answer: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0].split(" with exception ", 1)[0][:200]
