"""A data set is registered in MLflow once by its digest, and is safe if MLflow fails."""

import json

import pytest
from mlflow.tracking import MlflowClient

from pipelines.data.registration import EXPERIMENT, RegistrationFailed, register
from pleura.local.dependencies import free_port
from tests.support.pipelines.datasets import manifest_of, picture, record_of

# mlflow 3.17 with SQLAlchemy 2.1
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    """MLflow on a database for this module, because creating one takes seconds."""
    return MlflowClient(f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}")


def test_a_data_set_is_registered_once(client: MlflowClient) -> None:
    """Its run has the tags. A second registration gives the same run, another data set another run."""
    manifest = manifest_of(record_of(picture(1)), record_of(picture(2), "test", licence="CC-BY-4.0"))
    run_id = register(client, manifest, "s3://data/ours.json")
    assert register(client, manifest, "s3://data/ours.json") == run_id
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    tags = run.data.tags
    assert (tags["name"], tags["digest"], tags["uri"]) == ("ours", manifest.digest, "s3://data/ours.json")
    assert [tags[f"radiographs_{split}"] for split in ("train", "val", "test")] == ["1", "0", "1"]
    assert json.loads(tags["licences"]) == {"CC-BY-4.0": 1, "CC0": 1}
    assert "patient" not in str(tags)
    assert register(client, manifest_of(record_of(picture(3))), "s3://data/other.json") != run_id


def test_an_interrupted_registration_is_repeated(client: MlflowClient) -> None:
    """A run that never finished does not count as a registration."""
    register(client, manifest_of(record_of(picture(4))), "s3://data/first.json")
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    manifest = manifest_of(record_of(picture(5)))
    begun = client.create_run(experiment.experiment_id, tags={"digest": manifest.digest})
    assert register(client, manifest, "s3://data/ours.json") != begun.info.run_id


def test_an_unavailable_mlflow_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the data set, which can be registered later."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    manifest = manifest_of(record_of(picture(1)))
    with pytest.raises(RegistrationFailed, match=f"MLflow did not register {manifest.digest[:12]}"):
        register(MlflowClient(f"http://127.0.0.1:{free_port()}"), manifest, "s3://data/ours.json")
