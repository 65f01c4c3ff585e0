"""Write a registered model to MLflow: the model, its versions, their figures and the aliases."""

from typing import TYPE_CHECKING, Final

from pipelines.registry.catalogue import DECISION_TAG, MOVES_TAG, PREVIOUS_CHAMPION_TAG
from pipelines.registry.mlflow_client import mlflow_call
from pipelines.registry.registration import CHALLENGER, CHAMPION, AliasState, DecisionReference, Registration
from pleura.contract import MODEL_NAME

if TYPE_CHECKING:
    from mlflow import MlflowClient

_MAX_BATCH: Final = 100
"""Parameters that MLflow accepts in one call."""
_EXPERIMENT: Final = MODEL_NAME


class VersionWriter:
    """Writes one registered model to MLflow; other processes may write the same at the same time.

    Args:
        client: Client of MLflow.
        artifact_uri: Where MLflow would keep artifacts; Pleura writes none.
    """

    def __init__(self, client: "MlflowClient", artifact_uri: str) -> None:
        self._client, self._artifact_uri = client, artifact_uri

    def create_model(self) -> None:
        """Create the registered model and the run of its audit trail, unless another process is first."""
        from mlflow.exceptions import MlflowException

        # The run comes first: a registered model without an audit trail is refused from then on.
        run = self._create_run("moves of the aliases")
        try:
            with mlflow_call("RESOURCE_ALREADY_EXISTS"):
                self._client.create_registered_model(MODEL_NAME, tags={MOVES_TAG: run})
        except MlflowException:  # another process created it, with a run of its own
            with mlflow_call():
                self._client.delete_run(run)

    def create_version(self, registration: Registration, bundle_uri: str) -> None:
        """Create a version, with its parameters and figures in a run."""
        from mlflow.entities import Metric, Param

        run = self._create_run(f"model {registration.digest[:12]}")
        parameters = [Param(name, value) for name, value in registration.parameters.items()]
        figures = [Metric(name, value, 0, 0) for name, value in registration.figures.items()]
        tags = registration.model_dump(
            include={"digest", "dataset_digest", "code_version", "report_uri", "judgement_uri"}
        )
        with mlflow_call():
            for start in range(0, len(parameters), _MAX_BATCH):
                self._client.log_batch(run, params=parameters[start : start + _MAX_BATCH])
            self._client.log_batch(run, metrics=figures)
            self._client.set_terminated(run)
            # Last: a process that is killed before this line leaves no version without its figures.
            self._client.create_model_version(MODEL_NAME, bundle_uri, run, tags=tags)

    def delete_version(self, number: int) -> None:
        """Delete a version, unless another process has deleted it."""
        from mlflow.exceptions import MlflowException

        try:
            with mlflow_call("RESOURCE_DOES_NOT_EXIST"):
                self._client.delete_model_version(MODEL_NAME, str(number))
        except MlflowException:
            return

    def set_decision(self, number: int, decision: DecisionReference) -> None:
        """Set the gate's decision on a version."""
        with mlflow_call():
            self._client.set_model_version_tag(
                MODEL_NAME, str(number), DECISION_TAG, decision.model_dump_json()
            )

    def set_aliases(self, state: AliasState) -> None:
        """Set the aliases in MLflow, and note the previous champion."""
        for alias, number in ((CHAMPION, state.champion), (CHALLENGER, state.challenger)):
            with mlflow_call():
                if number is None:
                    self._client.delete_registered_model_alias(MODEL_NAME, alias)
                else:
                    self._client.set_registered_model_alias(MODEL_NAME, alias, str(number))
        previous = str(state.former[-1]) if state.former else ""
        with mlflow_call():
            self._client.set_registered_model_tag(MODEL_NAME, PREVIOUS_CHAMPION_TAG, previous)

    def _create_run(self, name: str) -> str:
        experiment = self._find_experiment()
        with mlflow_call():
            return str(self._client.create_run(experiment, run_name=name).info.run_id)

    def _find_experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        with mlflow_call():
            experiment = self._client.get_experiment_by_name(_EXPERIMENT)
        if experiment is not None:
            return str(experiment.experiment_id)
        try:
            with mlflow_call("RESOURCE_ALREADY_EXISTS"):
                return self._client.create_experiment(_EXPERIMENT, artifact_location=self._artifact_uri)
        except MlflowException:  # another process created it meanwhile
            return self._find_experiment()
