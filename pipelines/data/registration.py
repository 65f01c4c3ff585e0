"""Register data sets in MLflow, one run for each, where people and models find them."""

import json
from collections import Counter
from typing import Final

from mlflow.entities import Experiment, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from pipelines.data.manifest import SPLITS, Manifest

EXPERIMENT: Final = "chest-xray-data"


class RegistrationFailed(Exception):
    """MLflow does not answer, or refuses. The data set is safe in the store and can be registered again."""


def register(client: MlflowClient, manifest: Manifest, uri: str) -> str:
    """Register a stored data set, unless its digest is registered, and return the id of the run.

    Args:
        client: The client of an MLflow server.
        manifest: The stored data set.
        uri: Its address, from ``DatasetStore.uri``.

    Raises:
        RegistrationFailed: MLflow does not answer, or refuses.
    """
    try:
        experiment_id = _find_or_create_experiment(client)
        # A process that is killed between the two calls below leaves a run that is not finished.
        found = client.search_runs(
            [experiment_id],
            f"tags.digest = '{manifest.digest}' and attributes.status = 'FINISHED'",
            ViewType.ACTIVE_ONLY,
            max_results=1,
            order_by=["attributes.start_time ASC"],
        )
        if found:
            return str(found[0].info.run_id)
        run = client.create_run(experiment_id, tags=_tags(manifest, uri), run_name=manifest.name)
        client.set_terminated(run.info.run_id)
        return str(run.info.run_id)
    except MlflowException as error:
        raise RegistrationFailed(
            f"MLflow did not register {manifest.digest[:12]}: {error.error_code}"
        ) from error


def _find_or_create_experiment(client: MlflowClient) -> str:
    found: Experiment | None = client.get_experiment_by_name(EXPERIMENT)
    if found is not None:
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(EXPERIMENT))
    except MlflowException:  # another process may have created it in between
        found = client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            raise
        return str(found.experiment_id)


def _tags(manifest: Manifest, uri: str) -> dict[str, str]:
    licences = Counter(record.licence for record in manifest.records)
    return {
        "name": manifest.name,
        "digest": manifest.digest,
        "uri": uri,
        "made_from": "; ".join(manifest.made_from),
        "made_at": manifest.made_at.isoformat(),
        "licences": json.dumps(dict(sorted(licences.items()))),
        **{f"radiographs_{split}": str(len(manifest.records_of_split(split))) for split in SPLITS},
    }
