"""``pleura data`` on a real object store and a real MLflow."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from pipelines.data.registration import EXPERIMENT
from pipelines.data.validation_report import ValidationReport
from pleura.console.app import main
from pleura.local.dependencies import Server, free_port
from tests.support.databases import create_database
from tests.support.pipelines.datasets import ACCESS_KEY, SECRET_KEY, some_rows, store_of, write_folder

# mlflow 3.17 with SQLAlchemy 2.1
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


@pytest.fixture
def environment(seaweed: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of the commands; the object store is empty."""
    settings = {
        "PLEURA_S3_URL": seaweed.url,
        "PLEURA_S3_ACCESS_KEY": ACCESS_KEY,
        "PLEURA_S3_SECRET_KEY": SECRET_KEY,
        "PLEURA_DATA_BUCKET": store_of(seaweed).bucket,
        "PLEURA_DATA_CACHE": str(tmp_path / "cache"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return settings


def run_data(arguments: Sequence[str]) -> int:
    """Run ``pleura data`` where no stack runs."""
    return main(["--state", "/nowhere", "data", *arguments])


def build_reference(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run_data(arguments) == 0
    return capsys.readouterr().out.splitlines()[-1]


@pytest.mark.usefixtures("environment")
def test_from_a_folder_to_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A data set is built, registered, shown, merged and validated; the report is in the given folder."""
    tracking = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("PLEURA_MLFLOW_URI", tracking)
    folder = write_folder(tmp_path / "folder", some_rows(30))
    ours = build_reference(capsys, "build-folder", "ours", str(folder))
    few = build_reference(
        capsys, "build-folder", "few", str(folder), "--most-per-split", "2", "--source", "ours"
    )
    client = MlflowClient(tracking)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    digests = {run.data.tags["digest"] for run in client.search_runs([experiment.experiment_id])}
    assert digests == {ours.partition("@")[2], few.partition("@")[2]}

    assert run_data(["show"]) == 0
    assert set(capsys.readouterr().out.split()) == {ours, few}
    assert run_data(["show", few]) == 0
    assert "train 2, val 2, test 2" in capsys.readouterr().out
    both = build_reference(capsys, "merge", "both", ours, few)
    report = tmp_path / "report"
    assert run_data(["validate", both, "--against", ours, "--report", str(report)]) == 0
    read = ValidationReport.model_validate_json((report / "validation.json").read_text())
    assert (read.dataset, read.reference) == (both, ours)
    assert (report / "validation.md").read_text() in capsys.readouterr().out


@pytest.mark.usefixtures("environment")
def test_an_empty_store_has_no_data_set(capsys: pytest.CaptureFixture[str]) -> None:
    """The list of data sets is a sentence where there is none."""
    assert run_data(["show"]) == 0
    assert capsys.readouterr().out == "there is no data set\n"


@pytest.mark.usefixtures("environment")
def test_an_unsound_data_set_ends_with_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report is written all the same; --accept lets the user go on."""
    rows = some_rows(12)
    rows[0]["patient_id"] = rows[1]["patient_id"] = "Miller"
    reference = build_reference(capsys, "build-folder", "ours", str(write_folder(tmp_path / "folder", rows)))
    report = tmp_path / "report"
    assert run_data(["validate", reference, "--report", str(report)]) == 1
    assert "1 patients with radiographs in more than one split" in capsys.readouterr().err
    assert (report / "validation.md").exists()
    assert run_data(["validate", reference, "--accept", "patient_in_two_splits"]) == 0


@pytest.mark.usefixtures("environment")
def test_an_unreachable_mlflow_loses_no_data_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data set is stored and named; the same command registers it later."""
    folder = write_folder(tmp_path / "folder", some_rows(6))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("PLEURA_MLFLOW_URI", f"http://127.0.0.1:{free_port()}")
    assert run_data(["build-folder", "ours", str(folder)]) == 1
    output = capsys.readouterr()
    assert "MLflow did not register" in output.err
    reference = output.out.split()[-1]
    assert run_data(["show", reference]) == 0
    capsys.readouterr()
    tracking = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("PLEURA_MLFLOW_URI", tracking)
    assert build_reference(capsys, "build-folder", "ours", str(folder)) == reference
    experiment = MlflowClient(tracking).get_experiment_by_name(EXPERIMENT)
    assert experiment is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "ours"], "neither a digest nor name@digest"),
        (["show", "0" * 64], "there is no data set"),
        (["build-folder", "ours", "/nowhere"], "labels.csv cannot be read"),
        (["build-journal", "ours", "--licence", "x"], "the journal cannot be read"),
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("environment")
def test_a_failure_is_one_line(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    postgres: Server,
) -> None:
    """There is no traceback, and the exit code stops a script."""
    monkeypatch.setenv("PLEURA_JOURNAL_DSN", create_database(postgres))
    assert run_data(arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
